"""The synchronous client: `client.py PROTOCOL PORT`; for each line of stdin so many calls, whose median it prints."""

import statistics
import sys
import time

from docarray import BaseDoc, DocList

from jina import Client


class Text(BaseDoc):
    """What is sent."""

    text: str = ""


if __name__ == "__main__":
    client = Client(host="127.0.0.1", protocol=sys.argv[1], port=int(sys.argv[2]))
    docs = DocList[Text]([Text(id="a", text="hello world")])
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            began = time.perf_counter()
            answer = client.post("/upper", docs, return_type=DocList[Text])
            times.append(time.perf_counter() - began)
            if answer[0].text != "HELLO WORLD":
                sys.exit("a wrong answer")
        sys.stdout.write(f"{statistics.median(times) * 1e6}\n")
        sys.stdout.flush()
