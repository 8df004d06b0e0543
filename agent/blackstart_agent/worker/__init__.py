"""Loads: processes that keep a host busy, so that the guardian need not. They import little of the rest.

`python -m blackstart_agent.worker FD` gets its load over the SEQPACKET socket FD, in JSON, a packet each:

    <- {"load": "cpu", "parameters": {"percent": 80, "cores": 2}}      -> {"ready": 1} or {"error": "why"}
    <- {"until_ns": 123}   begin, or go on, until this moment of CLOCK_MONOTONIC
    <- {"ask": 1}                                                      -> {"running": 2, ...}

It ends when the moment comes, by a timer in the kernel and a signal that it does not catch, and when the
other end of the socket is gone. Its children, which do the work, die with it.
"""
