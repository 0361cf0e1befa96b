"""Messages a second of Python's smtplib, a thread for each connection. Arguments: PORT COUNT CONNECTIONS TEXT_LEN."""

import smtplib
import sys
import threading
import time
from email.message import EmailMessage

port, count, connections, text_len = map(int, sys.argv[1:])
line = "The quick brown fox jumps over the lazy dog, and nobody minds.\n"
text = (line * (text_len // len(line) + 1))[:text_len]
indices = iter(range(count))
lock = threading.Lock()


def send():
    with smtplib.SMTP("127.0.0.1", port) as server:
        while True:
            with lock:
                index = next(indices, None)
            if index is None:
                return
            message = EmailMessage()
            message["From"] = "sender@example.com"
            message["To"] = f"user{index}@example.com"
            message["Subject"] = f"Message for User {index}"
            message.set_content(f"Hello User {index},\n{text}")
            server.send_message(message)


start = time.monotonic()
threads = [threading.Thread(target=send) for _ in range(connections)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(round(count / (time.monotonic() - start)))
