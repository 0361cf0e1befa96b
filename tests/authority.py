"""Makes an authority, and certificates that it vouches for, valid for a week, or until so many hours from now:

    python authority.py FOLDER [HOURS]

ca.pem; chain.pem and key.pem for `localhost` and this machine's addresses; NAME.pem and NAME.key for the clients `ops`
(ops.example) and `unknown` (unknown.example), and for `forged` (ops.example too), whom another authority vouches for.
"""

import datetime
import ipaddress
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

folder = pathlib.Path(sys.argv[1])
now = datetime.datetime.now(datetime.timezone.utc)
hours = float(sys.argv[2]) if len(sys.argv) > 2 else 7 * 24


def write(name, bytes_):
    (folder / name).write_bytes(bytes_)


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate(name, key, issuer, issuer_key, is_authority, alternatives=(), usage=None):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(hours=hours))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def authority(name):
    key = ec.generate_private_key(ec.SECP256R1())
    return certificate(name, key, None, key, True), key


def vouch(by, name, alternatives, usage):
    ca, ca_key = by
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificate(name, key, ca.subject, ca_key, False, alternatives, usage)
    return made.public_bytes(serialization.Encoding.PEM), pem(key)


own = authority("tests")
write("ca.pem", own[0].public_bytes(serialization.Encoding.PEM))
here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
chain, key = vouch(own, "localhost", here, ExtendedKeyUsageOID.SERVER_AUTH)
write("chain.pem", chain)
write("key.pem", key)
for client, name, by in [
    ("ops", "ops.example", own),
    ("unknown", "unknown.example", own),
    ("forged", "ops.example", authority("others")),
]:
    chain, key = vouch(by, client, [x509.DNSName(name)], ExtendedKeyUsageOID.CLIENT_AUTH)
    write(f"{client}.pem", chain)
    write(f"{client}.key", key)
