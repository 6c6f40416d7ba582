"""How late a token arrives that the handler yields every 10 ms."""

from __future__ import annotations

from bench.environments import python_of
from bench.report import Check, Section
from bench.runs import Arm, bench_server, http_get, run_load
from bench.stats import interval, ratio


def sse_paced(rounds: int) -> Section:
    """Each round reads one stream of 50 tokens from each server; a token is the time of its yield."""
    jina3 = bench_server("jina3-http-direct", "jina3.py", python_of("jina3"), protocol="http", include_gateway="false")
    arms = [
        Arm(bench_server("ours-http", "ours.py", protocol="http"), "sse", http_get("/paced?id=a&text=x"), b'"text":'),
        Arm(bench_server("bare-http", "bare_http.py"), "sse", http_get("/paced"), b'"text":'),
        Arm(jina3, "sse", http_get("/paced?id=a&text=x"), b'"text":'),
    ]
    delays: list[list[list[float]]] = [[] for _ in arms]
    try:
        for arm in arms:
            arm.times = 50
            arm.server.start()
            run_load(arm, 1, 1)
        for _ in range(rounds):
            for arm, series in zip(arms, delays, strict=True):
                load = run_load(arm, 1, 1)
                if load["bad"] or len(load["delays_ms"]) != 50:
                    raise RuntimeError(f"sse_paced: {arm.server.name} gave a wrong stream")
                series.append(sorted(load["delays_ms"]))
    finally:
        for arm in arms:
            arm.server.stop()
    rows, bars = [], {}
    for arm, series in zip(arms, delays, strict=True):
        every = sorted(delay for one in series for delay in one)
        p50, p99 = every[len(every) // 2], every[int(len(every) * 0.99)]
        rows.append([arm.server.name, p50, p99, every[-1], len(every)])
        bars[arm.server.name] = p99
    late = [[one[48] for one in series] for series in delays]
    middles = [[one[25] for one in series] for series in delays]
    checks = [Check("our p98 of a stream (ms)", interval(late[0]))]
    checks += [
        Check(f"our p50 / {arm.server.name}", ratio(middles[0], middle))
        for arm, middle in zip(arms[1:], middles[1:], strict=True)
    ]
    head = ["server", "p50 (ms)", "p99 (ms)", "largest (ms)", "tokens"]
    title = "Server-sent events, a token every 10 ms: arrival minus yield"
    return Section(title, head, rows, checks, "", "p99, ms", bars, {"delays_ms": delays})
