"""Programs beside an attack: `idle` serves nothing, `prober` asks for readiness, `customer` wants right answers.

The last two write a line for each question: when it was asked, of whom, how many seconds the answer took, and what it was.
"""

import asyncio
import json
import socket
import sys
import time
import urllib.request

PAUSE = 0.025
PATIENCE = 20


class Asker:
    """Asks for `/readyz` on a connection of its own."""

    def __init__(self, port):
        self.port, self.sock = port, None

    def ask(self):
        """Seconds until the answer, and its status line."""
        if self.sock is None:
            self.sock = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)
        began = time.monotonic()
        try:
            self.sock.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            heard = self._answer()
        except OSError as error:
            heard = repr(error).encode()
        if not heard.startswith(b"HTTP/1.1 200"):
            self.sock.close()
            self.sock = None
        return time.monotonic() - began, heard.split(b"\r\n")[0].decode("latin-1")

    def _answer(self):
        heard = b""
        while True:
            head, found, body = heard.partition(b"\r\n\r\n")
            if found:
                length = next(
                    int(line.split(b":")[1])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )
                if len(body) >= length:
                    return heard
            part = self.sock.recv(65536)
            if not part:
                return b"closed after " + heard
            heard += part


def prober(port, idle, file):
    askers = [("service", Asker(int(port))), ("idle", Asker(int(idle)))]
    with open(file, "a", buffering=1) as out:
        while True:
            for name, asker in askers:
                asked = time.monotonic()
                seconds, status = asker.ask()
                out.write(json.dumps([asked, name, seconds, status]) + "\n")
            time.sleep(PAUSE)


def customer(port, file, key=""):
    """Requests as anybody would send them; a wrong answer is told as such."""
    number = 0
    with open(file, "a", buffering=1) as out:
        while True:
            number += 1
            body = json.dumps({"data": [{"text": f"right {number}"}] * 3}).encode()
            headers = {"content-type": "application/json", **({"x-api-key": key} if key else {})}
            asked = time.monotonic()
            request = urllib.request.Request(f"http://127.0.0.1:{port}/typed", body, headers)
            try:
                with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
                    content = json.load(reply)["data"][0]
                status = "right" if (content["text"], content["count"]) == (f"right {number}", 3) else repr(content)
            except Exception as error:
                status = repr(error)
            out.write(json.dumps([asked, "customer", time.monotonic() - asked, status]) + "\n")
            time.sleep(PAUSE * 4)


def idle():
    async def answer(reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async def main():
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(main())


if __name__ == "__main__":
    {"idle": idle, "prober": prober, "customer": customer}[sys.argv[1]](*sys.argv[2:])
