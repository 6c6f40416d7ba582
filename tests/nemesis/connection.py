"""One attempt of a client over HTTP."""

import contextlib
import http.client
import json
import re

PATIENCE = 3.0
"""Seconds after which a client gives a request up, and sends it again under the same id."""
EXPIRED = 409


class Unanswered(Exception):
    """The outcome of a request is unknown."""


class Refused(Unanswered):
    """It comes too late: it is unknown whether it was applied, and it will not be applied now."""


class Connection:
    """To the gateway, over HTTP; `beside` is what the headers of the last answer told."""

    def __init__(self, port, host="127.0.0.1"):
        self._port, self._host, self._connection, self.beside = port, host, None, {}

    def ask(self, endpoint, text, request_id, consistency, more=()):
        """One attempt; raises `Unanswered`."""
        body = {"data": [{"text": text}], "header": {"request_id": request_id}}
        headers = {"Content-Type": "application/json", "jina-consistency": consistency, **dict(more)}
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE)
            self._connection.request("POST", endpoint, json.dumps(body), headers)
            answer = self._connection.getresponse()
            result = answer.read()
            if answer.status != 200:
                failure = Refused if answer.status == EXPIRED else Unanswered
                raise failure(f"{answer.status}: {_brief(result)}")
            self.beside = {name.lower(): value for name, value in answer.getheaders()}
            return json.loads(json.loads(result)["data"][0]["text"])
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unanswered(repr(error)) from error

    def close(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _brief(result):
    """What an error says, without what is different each time."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return re.sub(r"nemesis, request [^:]*: |'[^']*'|rep-\d|\d+", "", json.loads(result)["detail"])[:80]
    return result[:80]
