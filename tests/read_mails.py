"""Reads the messages that smtp_server.py stored, with Python's own email package, and prints them as JSON."""

import base64
import email
import json
import sys
from email import policy
from pathlib import Path


def text(message, kind):
    part = message.get_body((kind,))
    # A decoded text has the line ends of mail.
    return part and part.get_content().replace("\r\n", "\n")


def read(envelope_file):
    message = email.message_from_bytes(envelope_file.with_suffix(".eml").read_bytes(), policy=policy.default)
    assert not message.defects, (envelope_file, message.defects)
    envelope = json.loads(envelope_file.read_text())
    return {
        "envelope_from": envelope["from"],
        "envelope_to": envelope["to"],
        "headers": {name.lower(): str(value) for name, value in message.items()},
        "text": text(message, "plain"),
        "html": text(message, "html"),
        "attachments": [
            {
                "name": part.get_filename(),
                "media_type": part.get_content_type(),
                "data": base64.b64encode(part.get_payload(decode=True)).decode(),
            }
            for part in message.iter_attachments()
        ],
    }


print(json.dumps([read(file) for file in sorted(Path(sys.argv[1]).glob("*.json"))]))
