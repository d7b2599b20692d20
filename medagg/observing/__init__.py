"""What an operator sees of a running site: lines of logs, figures, and whether all parts serve.

Requests, tasks and workers come by; lines, /metrics, /healthz/ and /readyz/ go out. It reads what
the apps count, and none of them calls it.
"""
