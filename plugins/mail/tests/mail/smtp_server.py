"""A real SMTP server, aiosmtpd, on free ports of this machine, for one test.

The first argument is its configuration as JSON. It prints its port, and for every message that it accepts a line of
JSON: the envelope, how the connection was secured, and the message as Python's email package reads it.
"""

import asyncio
import base64
import email
import email.policy
import json
import re
import ssl
import sys
from email.header import decode_header, make_header
from email.utils import getaddresses

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

CONFIG = json.loads(sys.argv[1])


class Handler:
    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        if CONFIG.get("pipelining", True):
            responses.insert(1, "250-PIPELINING")
        return responses

    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.7.1 not from you"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550-5.1.1 no such mailbox\r\n550 5.1.1 and there never was"
        if address.startswith("later"):
            return "450 4.2.1 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        content = envelope.original_content
        if b"\r\nX-Test: spam\r\n" in content:
            return "554 5.7.1 this is spam"
        message = email.message_from_bytes(content, policy=email.policy.default)
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
            "addresses": {name: addresses(content, name) for name in ("From", "To", "Cc", "Reply-To")},
            "text": body(message, "plain"),
            "html": body(message, "html"),
            "attachments": [
                {
                    "name": part.get_filename(),
                    "media_type": part.get_content_type(),
                    "data": base64.b64encode(part.get_payload(decode=True)).decode(),
                }
                for part in message.iter_attachments()
            ],
        }), flush=True)
        return "250 2.0.0 OK"


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
        lambda: SMTP(Handler(), **options), "127.0.0.1", 0, ssl=context if is_implicit else None
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
