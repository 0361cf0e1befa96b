"""A real SMTP server: aiosmtpd on a free port of this machine, which it prints. What it accepts lies in a folder.

Each message is two files, NUMBER.eml (its bytes) and NUMBER.json (its envelope). Recipients whose name begins with
`refused` are refused for good, those whose name begins with `later` for now.
"""

import asyncio
import json
import sys
from pathlib import Path

from aiosmtpd.smtp import SMTP


class Store:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later"):
            return "450 4.2.1 mailbox busy, try again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        (self.folder / f"{self.count:06}.eml").write_bytes(envelope.original_content)
        ends = {"from": envelope.mail_from, "to": envelope.rcpt_tos}
        # Last, and in one step: who sees the envelope finds the message whole.
        unfinished = self.folder / "envelope"
        unfinished.write_text(json.dumps(ends))
        unfinished.rename(self.folder / f"{self.count:06}.json")
        return f"250 2.0.0 stored as {self.count}"


async def main():
    store = Store(Path(sys.argv[1]))
    serve = lambda: SMTP(store, hostname="smtp.test", enable_SMTPUTF8=True)
    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
