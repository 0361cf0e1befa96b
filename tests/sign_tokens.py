"""Signs JSON Web Tokens with a library of its own, as others would, and puts the keys where a gateway finds them.

    python sign_tokens.py FOLDER [KEY_ID_PREFIX]

Writes `jwks.json` and `secret` to the folder. Prints the tokens as JSON: by algorithm, by what is special about them, and
under `bad` those that must be refused.
"""

import base64
import json
import sys
import time

from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(n, length):
    return b64(n.to_bytes(length, "big"))


folder = sys.argv[1]
prefix = sys.argv[2] if len(sys.argv) > 2 else ""
secret = b"0123456789abcdef" * 4
rsa_key = rsa.generate_private_key(65537, 2048)
curves = {"ES256": (ec.SECP256R1(), "P-256", 32), "ES384": (ec.SECP384R1(), "P-384", 48)}
ec_keys = {alg: ec.generate_private_key(curve) for alg, (curve, _, _) in curves.items()}
ed_key = ed25519.Ed25519PrivateKey.generate()
stranger = ed25519.Ed25519PrivateKey.generate()
sha = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
ids = {"R": prefix + "r", "P": prefix + "r", "ES256": prefix + "e", "ES384": prefix + "e384", "EdDSA": prefix + "d"}


def sign(alg, data, key):
    digest = sha.get(alg[2:])
    if alg.startswith("HS"):
        mac = hmac.HMAC(secret, digest)
        mac.update(data)
        return mac.finalize()
    if alg.startswith("RS"):
        return rsa_key.sign(data, padding.PKCS1v15(), digest)
    if alg.startswith("PS"):
        return rsa_key.sign(data, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
    if alg.startswith("ES"):
        length = curves[alg][2]
        r, s = utils.decode_dss_signature(ec_keys[alg].sign(data, ec.ECDSA(digest)))
        return r.to_bytes(length, "big") + s.to_bytes(length, "big")
    if alg == "EdDSA":
        return (key or ed_key).sign(data)
    return b""


def token(alg, claims, key=None, **header):
    kid = ids.get(alg) or ids.get(alg[0])
    header = {"alg": alg, "typ": "JWT", **({"kid": kid} if kid else {}), **header}
    data = (b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())).encode()
    return data.decode() + "." + b64(sign(alg, data, key))


now = int(time.time())
good = {"sub": "ada", "role": "staff", "iss": "me", "aud": "tasks", "exp": now + 3600}
public = rsa_key.public_key().public_numbers()
raw = ed_key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def ec_jwk(alg):
    point = ec_keys[alg].public_key().public_numbers()
    _, name, length = curves[alg]
    return {"kty": "EC", "crv": name, "kid": ids[alg], "x": number(point.x, length), "y": number(point.y, length)}


rsa_jwk = {"kty": "RSA", "n": number(public.n, 256), "e": number(public.e, 3)}
ed_jwk = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": ids["EdDSA"], "x": b64(raw)}
jwks = {
    "keys": [
        # As Keycloak and others have them: a key for another purpose, and kinds that not everybody knows.
        {**rsa_jwk, "alg": "RSA-OAEP", "use": "enc", "kid": prefix + "for encryption"},
        {"kty": "AKP", "alg": "ML-DSA-65", "kid": prefix + "later", "pub": "AAAA"},
        {"kty": "EC", "crv": "P-521", "kid": prefix + "wide", "x": "AAAA", "y": "AAAA"},
        {**rsa_jwk, "use": "sig", "kid": ids["R"]},
        ec_jwk("ES256"),
        ec_jwk("ES384"),
        ed_jwk,
    ]
}
with open(folder + "/jwks.json", "w") as file:
    json.dump(jwks, file)
with open(folder + "/secret", "wb") as file:
    file.write(secret)


def without(name):
    return {key: value for key, value in good.items() if key != name}


def roles(*names):
    return token("EdDSA", without("role") | {"realm_access": {"roles": list(names)}})


print(
    json.dumps(
        {
            **{name + size: token(name + size, good) for name in ("HS", "RS", "PS") for size in sha},
            **{alg: token(alg, good) for alg in ("ES256", "ES384", "EdDSA")},
            "no id": token("RS256", good, kid=None),
            "soon": token("EdDSA", {**good, "exp": now + 12}),
            "short": token("EdDSA", {**good, "exp": now + 6}),
            "staff and others": roles("offline_access", "staff", "readers"),
            "others": roles("offline_access"),
            "nobody": roles(),
            "bad": {
                "none": token("none", good),
                "stranger": token("EdDSA", good, stranger),
                "expired": token("EdDSA", {**good, "exp": now - 60}),
                "no exp": token("EdDSA", without("exp")),
                "not yet": token("EdDSA", {**good, "nbf": now + 600}),
                "issuer": token("EdDSA", {**good, "iss": "eve"}),
                "audience": token("EdDSA", {**good, "aud": "mail"}),
                "no user": token("EdDSA", without("sub")),
                "other key": token("EdDSA", good, kid=ids["R"]),
                "unknown key": token("EdDSA", good, kid="nobody's"),
                "encryption key": token("RS256", good, kid=prefix + "for encryption"),
                # RFC 7515, section 4.1.11; RFC 7797.
                "crit": token("EdDSA", good, crit=["exp"], exp=now + 3600),
                "crit of b64": token("EdDSA", good, crit=["b64"], b64=True),
                "empty crit": token("EdDSA", good, crit=[]),
                "half": token("EdDSA", good)[:-10],
                "text": "nonsense",
            },
        }
    )
)
