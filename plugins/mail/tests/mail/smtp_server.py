"""A real SMTP server, aiosmtpd, on free ports of this machine, for one test.

The first argument is its configuration as JSON. It prints its port, and for every message that it accepts a line of
JSON: the envelope, how the connection was secured, and the message as Python's email package reads it.

It keeps to limits on command: `session_max` messages in a session, `rate_max` in a second, `recipients_max` in a
transaction, `connections_max` at once.
"""

import asyncio
import base64
import email
import email.policy
import json
import re
import ssl
import sys
import time
from email.header import decode_header, make_header
from email.utils import getaddresses

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

CONFIG = json.loads(sys.argv[1])
ADDRESSES = ("From", "To", "Cc", "Reply-To", "Sender", "Disposition-Notification-To")
RATE_MAX = CONFIG.get("rate_max", 10**9)
SESSION_MAX = CONFIG.get("session_max", 10**9)
RECIPIENTS_MAX = CONFIG.get("recipients_max", 10**9)
CONNECTIONS_MAX = CONFIG.get("connections_max", 10**9)


class Server(SMTP):
    count = 0

    def connection_made(self, transport):
        if Server.count >= CONNECTIONS_MAX:
            transport.write(b"421 4.7.0 Too many concurrent connections\r\n")
            transport.close()
            return
        Server.count += 1
        self.is_counted = True
        super().connection_made(transport)

    def connection_lost(self, error):
        if getattr(self, "is_counted", False):
            self.is_counted = False
            Server.count -= 1
            super().connection_lost(error)


class Handler:
    accepted_at = []
    count = 0

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        if CONFIG.get("pipelining", True):
            responses.insert(1, "250-PIPELINING")
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.7.1 not from you"
        session.messages = getattr(session, "messages", 0) + 1
        if session.messages > SESSION_MAX:
            return "452 4.4.5 Maximum number of messages per session exceeded"
        now = time.monotonic()
        self.accepted_at[:] = [at for at in self.accepted_at if at > now - 1]
        if len(self.accepted_at) >= RATE_MAX:
            return "450 4.7.1 Rate limit exceeded, slow down"
        self.accepted_at.append(now)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550-5.1.1 no such mailbox\r\n550 5.1.1 and there never was"
        if address.startswith("later"):
            return "450 4.2.1 mailbox busy"
        if len(envelope.rcpt_tos) >= RECIPIENTS_MAX:
            return "452 4.5.3 Too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        content = envelope.original_content
        if b"\r\nX-Test: spam\r\n" in content:
            return "554 5.7.1 this is spam"
        message = email.message_from_bytes(content, policy=email.policy.default)
        raw = email.message_from_bytes(content, policy=email.policy.compat32)
        Handler.count += 1
        print(json.dumps({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "options": envelope.mail_options,
            "is_secure": session.ssl is not None,
            "user": session.auth_data and session.auth_data.login.decode(),
            "peer": session.peer[1],
            "has_bare_line_end": b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b""),
            "longest_line": max(map(len, content.split(b"\r\n"))),
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
            "headers": [[name, str(value)] for name, value in message.items()],
            "raw_headers": [[name, re.sub("\r?\n", "", str(value))] for name, value in raw.items()],
            "structure": structure(message),
            "addresses": {name: addresses(content, name) for name in ADDRESSES},
            "text": body(message, "plain"),
            "html": body(message, "html"),
            "attachments": [attachment(part) for part in message.iter_attachments()],
            "inline": [attachment(part) for part in message.walk() if part["Content-ID"]],
        }), flush=True)
        return f"250 2.0.0 OK: queued as Q{Handler.count}"

    async def auth_XOAUTH2(self, server, args):
        """As Google and Microsoft do it: what is wrong comes as a challenge, which the client acknowledges."""
        name, token = base64.b64decode(args[1]).decode().rstrip("\1").split("\1")
        wanted = CONFIG["auth"]
        if (name, token) == (f"user={wanted['username']}", f"auth=Bearer {wanted['token']}"):
            return AuthResult(success=True, auth_data=LoginPassword(wanted["username"].encode(), b""))
        answer = await server.challenge_auth('{"status":"400","schemes":"Bearer"}')
        assert answer == b"", answer
        return AuthResult(success=False, handled=False)


def attachment(part):
    nested = part.get_payload()[0] if part.get_content_maintype() == "message" else None
    return {
        "name": part.get_filename(),
        "media_type": part.get_content_type(),
        "data": None if nested else base64.b64encode(part.get_payload(decode=True)).decode(),
        "encoding": part["Content-Transfer-Encoding"],
        "disposition": part.get_content_disposition(),
        "cid": part["Content-ID"],
        "type_name": part.get_param("name") and str(make_header(decode_header(part.get_param("name")))),
        "nested": nested and {"subject": nested["Subject"], "text": nested.get_content(), "to": nested["To"]},
    }


def structure(part):
    """Media types; those of its parts follow a multipart's."""
    if part.is_multipart() and part.get_content_maintype() == "multipart":
        return [part.get_content_type(), *map(structure, part.iter_parts())]
    return part.get_content_type()



def addresses(content, header):
    """Names and addresses, by the older one of Python's readers: Python 3.11's newer one keeps the space between two
    encoded words, which RFC 2047 wants dropped."""
    lines = email.message_from_string(content.decode()).get_all(header, [])
    found = getaddresses([re.sub("\r?\n", "", line) for line in lines])
    return [[str(make_header(decode_header(name))), address] for name, address in found]


def body(message, kind):
    part = message.get_body((kind,))
    # In a message lines end with CRLF, whatever they ended with before.
    return part and part.get_content().replace("\r\n", "\n")


def authenticate(server, session, envelope, mechanism, data):
    wanted = CONFIG["auth"]
    is_right = data == LoginPassword(wanted["username"].encode(), wanted["password"].encode())
    return AuthResult(success=is_right, handled=False, auth_data=data)


async def main():
    context = None
    if "certificate" in CONFIG:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(CONFIG["certificate"], CONFIG["key"])
    is_implicit = CONFIG.get("implicit", False)
    options = {
        "hostname": "smtp.test",
        "enable_SMTPUTF8": CONFIG.get("smtputf8", True),
        "data_size_limit": CONFIG.get("size", 33554432),
        "tls_context": None if is_implicit else context,
    }
    if "auth" in CONFIG:
        options |= {
            "auth_required": True,
            "auth_require_tls": context is not None and not is_implicit,
            "authenticator": authenticate,
            "auth_exclude_mechanism": CONFIG["auth"].get("exclude", []),
        }
    server = await asyncio.get_running_loop().create_server(
        lambda: Server(Handler(), **options), "127.0.0.1", 0, ssl=context if is_implicit else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
