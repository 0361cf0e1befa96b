"""Holds conversations with a host, each on a connection of its own: reads a JSON array of them on standard input, and
prints an array of what was answered.

A conversation is {"connect": "tcp:PORT" | "tls:PORT" | "unix:PATH", "certificate": NAME? (by Unix socket, "tls": none, but TLS), "lines": […], "ca": FILE}.
Each line is sent, and one line read; null stands for a connection that ended instead.
"""

import json
import socket
import ssl
import sys


def connect(conversation):
    kind, _, where = conversation["connect"].partition(":")
    if kind == "unix":
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(60)
        stream.connect(where)
        if conversation.get("certificate") != "tls":
            return stream
        context = ssl.create_default_context(cafile=conversation["ca"])
        return context.wrap_socket(stream, server_hostname="localhost")
    stream = socket.create_connection(("127.0.0.1", int(where)), timeout=60)
    if kind == "tcp":
        return stream
    context = ssl.create_default_context(cafile=conversation["ca"])
    name = conversation.get("certificate")
    if name:
        context.load_cert_chain(f"{name}.pem", f"{name}.key")
    return context.wrap_socket(stream, server_hostname="localhost")


def converse(conversation):
    answers = []
    try:
        stream = connect(conversation)
    except (OSError, ssl.SSLError):
        return None
    lines = stream.makefile("rwb")
    for line in conversation["lines"]:
        try:
            lines.write(json.dumps(line).encode() + b"\n")
            lines.flush()
            answer = lines.readline()
        except (OSError, ssl.SSLError):
            answer = b""
        answers.append(json.loads(answer) if answer else None)
        if not answer:
            break
    try:
        lines.close()
    except OSError:
        pass
    stream.close()
    return answers


print(json.dumps([converse(conversation) for conversation in json.load(sys.stdin)]))
