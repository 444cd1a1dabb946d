"""Drives python-mk-livestatus from PyPI.

Argument: the socket. The input and the output are those of perl.pl.
"""

import json
import os
import sys
import time

from mk_livestatus import Socket


def acknowledge(site, service):
    line = f"COMMAND [{int(time.time())}] ACKNOWLEDGE_SVC_PROBLEM;{service};2;1;1;anna;seen\n"
    site.call(line.encode())
    return "sent"


def ask(site, table, columns, row_filter):
    query = getattr(site, table).columns(*columns.split(" "))
    if row_filter:
        query = query.filter(row_filter)
    if os.environ["ASKED"] == "site":
        # The module leaves out the blank line at the end, and icinga2 itself does not answer
        # without it. Sending and reading remain the module's.
        rows = site.call(f"{query}\n".encode())
    else:
        rows = query.call()
    return "rows\t" + json.dumps(rows, sort_keys=True, separators=(",", ":"))


def carry_out(site, line):
    verb, *fields = line.rstrip("\n").split("\t")
    steps = {"query": ask, "acknowledge": acknowledge}
    try:
        return steps[verb](site, *fields)
    except json.JSONDecodeError as error:
        # The module knows no errors of Livestatus: it takes every byte for JSON,
        # and the text is only in what it could not read.
        return "error\t" + error.doc.replace("\n", " ")
    except OSError as error:
        return f"error\t{error}"


def main():
    site = Socket(sys.argv[1])
    for line in sys.stdin:
        print(carry_out(site, line), flush=True)


main()
