#!/usr/bin/env python3
"""Makes the pictures beside this file from a run of the real programs.

    doc/pictures/make.py [FOLDER WITH liveproxyd AND liveproxyctl]

Six small sites are started on loopback and asked by many clients for a minute
and a half. One of them is slow, one is taken away in the middle, one is
disabled. What `liveproxyctl metrics` says is read once a second and drawn as
the main panels of ../grafana-dashboard.json; `liveproxyctl top` runs in tmux,
and its screen is drawn as it is. Nothing is left behind. Needs tmux.
"""

import html
import random
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
SECONDS = 90
PORT = 6557
WINDOW = 10  # seconds over which rates and quantiles are taken

# Name, address, seconds for an answer, bytes of one, channels, clients, their pause.
SITES = [
    ("berlin", "127.0.11.1", 0.004, 4_000, 10, 6, 0.05),
    ("lisbon", "127.0.11.2", 0.030, 20_000, 10, 8, 0.08),
    ("munich", "127.0.11.3", 0.012, 9_000, 10, 10, 0.06),
    ("oslo", "127.0.11.4", 0.350, 2_000, 2, 16, 0.0),
    ("paris", "127.0.11.5", 0.018, 8_000, 5, 5, 0.07),
    ("vienna", "127.0.11.6", 0.020, 5_000, 5, 3, 0.15),
]
DIES, DIES_AT, BACK_AT = "paris", (25, 72), 50
DISABLED, DISABLED_AT = "vienna", 60
SHOT_AT = 84


class Site(socketserver.ThreadingTCPServer):
    """Answers every request after its time, on connections that it can cut."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address, delay, size):
        self.delay, self.size, self.open = delay, size, set()
        super().__init__((address, PORT), Talk)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def end(self):
        self.shutdown()
        self.server_close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Talk(socketserver.StreamRequestHandler):
    def handle(self):
        self.server.open.add(self.connection)
        try:
            self.talk()
        except OSError:
            pass
        self.server.open.discard(self.connection)

    def talk(self):
        lines = []
        for line in self.rfile:
            if line != b"\n":
                lines.append(line)
                continue
            delay = self.server.delay * random.uniform(0.7, 1.6)
            body = b"x" * self.server.size
            if lines and lines[0].startswith(b"GET status"):
                delay, body = delay / 10, b"1795190000;Naemon 1.4.1;1.4.1-naemon\n"
            time.sleep(delay)
            self.wfile.write(b"200 %11d\n%s" % (len(body), body))
            lines = []


class Scene:
    """The daemon, its sites and their clients."""

    def __init__(self, programs):
        self.programs = programs
        self.folder = tempfile.TemporaryDirectory(prefix="lp")
        self.root = Path(self.folder.name)
        self.over = threading.Event()
        self.sites = {name: Site(at, *how) for name, at, *how, _, _, _ in SITES}

    def start(self):
        config = "sites = {}\n"
        for name, address, _, _, channels, _, _ in SITES:
            config += (
                f"sites['{name}'] = {{'socket': ('{address}', {PORT}), 'channels': {channels},"
                " 'channel_timeout': 1.5, 'connect_retry': 2.0}\n"
            )
        place = self.root / "etc/check_mk"
        place.mkdir(parents=True)
        (place / "liveproxyd.mk").write_text(config)
        (self.root / "var/log").mkdir(parents=True)
        (self.root / "tmp/run").mkdir(parents=True)
        daemon = [self.programs / "liveproxyd", "-g", "--root", self.root]
        self.daemon = subprocess.Popen(daemon, stdout=subprocess.DEVNULL)
        time.sleep(1)
        for name, *_, clients, pause in SITES:
            for _ in range(clients):
                threading.Thread(target=self.ask, args=(name, pause), daemon=True).start()

    def ask(self, name, pause):
        query = b"GET services\nColumns: description\nResponseHeader: fixed16\n\n"
        while not self.over.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.connect(str(self.root / "tmp/run/liveproxy" / name))
                    client.sendall(query)
                    while client.recv(65536):
                        pass
            except OSError:
                pass
            time.sleep(random.uniform(0.5, 1.5) * pause if pause else 0.02)

    def ctl(self, *words):
        command = [self.programs / "liveproxyctl", "--root", self.root, *words]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def screen(self):
        """What `liveproxyctl top` shows, with its colours."""
        server = ["tmux", "-L", f"picture{self.daemon.pid}", "-f", "/dev/null"]
        command = f"{self.programs / 'liveproxyctl'} --root {self.root} top -i 2"
        new = ["new-session", "-d", "-x", "126", "-y", "13", command]
        subprocess.run([*server, *new], check=True)
        time.sleep(5)
        shown = subprocess.run(
            [*server, "capture-pane", "-e", "-p"], capture_output=True, text=True, check=True
        )
        subprocess.run([*server, "kill-server"], check=True)
        return shown.stdout

    def end(self):
        self.over.set()
        self.daemon.terminate()
        self.daemon.wait()
        self.folder.cleanup()


def run(programs):
    """All samples, and the screen."""
    scene, samples, screen = Scene(programs), [], []
    scene.start()
    began = time.monotonic()
    shot = None
    try:
        for second in range(SECONDS + 1):
            time.sleep(max(0.0, began + second - time.monotonic()))
            if second in DIES_AT:
                scene.sites[DIES].end()
            if second == BACK_AT:
                name, address, *how = next(site for site in SITES if site[0] == DIES)
                scene.sites[DIES] = Site(address, *how[:2])
            if second == DISABLED_AT:
                scene.ctl("disable", DISABLED, "new line until noon")
            if second == SHOT_AT:
                shot = threading.Thread(target=lambda: screen.append(scene.screen()))
                shot.start()
            samples.append((time.monotonic() - began, parsed(scene.ctl("metrics"))))
        shot.join()
    finally:
        scene.end()
    return samples, screen[0]


def parsed(text):
    """Metrics as {(name, site, other label): value}."""
    values = {}
    for line in text.splitlines():
        found = re.match(r"liveproxyd_(\w+?)(?:\{(.*)\})? (\S+)$", line)
        if found:
            labels = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            site = labels.pop("site", "")
            other = next(iter(labels.values()), "")
            values[found[1], site, other] = float(found[3])
    return values


# The screen of a terminal.

INK, PAPER = "#d7dbe0", "#15181d"
COLOURS = ["#6b7280", "#f2777a", "#8cc98f", "#e8c063", "#7aa6da", "#c594c5", "#66cccc", INK]
ADVANCE, LEADING, SIZE = 8.0, 18, 13.3


def pieces(line):
    """Runs of one look: where, text, colour, bold, whether turned round."""
    at, colour, bold, turned = 0, INK, False, False
    for code, text in re.findall(r"\x1b\[([\d;]*)m|([^\x1b]+)", line):
        if text:
            yield at, text, colour, bold, turned
            at += len(text)
            continue
        for number in (int(part or 0) for part in code.split(";")):
            if number == 0:
                colour, bold, turned = INK, False, False
            elif number == 1:
                bold = True
            elif number == 2:
                colour = COLOURS[0]
            elif number == 7:
                turned = True
            elif 30 <= number <= 37 or 90 <= number <= 97:
                colour = COLOURS[number % 10]
            elif number == 39:
                colour = INK


def terminal(screen):
    lines = screen.rstrip("\n").split("\n")
    width = max(sum(len(text) for _, text, *_ in pieces(line)) for line in lines)
    wide, high = width * ADVANCE + 32, len(lines) * LEADING + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}"'
        ' role="img" aria-label="liveproxyctl top in a terminal">',
        f'<rect width="{wide:.0f}" height="{high}" rx="8" fill="{PAPER}"/>',
        f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{SIZE}"'
        ' xml:space="preserve">',
    ]
    for row, line in enumerate(lines):
        y = 28 + row * LEADING
        for at, text, colour, bold, turned in pieces(line):
            if turned:
                box = f'x="{16 + at * ADVANCE}" y="{y - 13}" width="{len(text) * ADVANCE}"'
                out.append(f'<rect {box} height="{LEADING}" fill="{colour}"/>')
            # Word by word, so that columns stand where they stood in whatever font there is.
            for word in re.finditer(r"\S+", text):
                x, length = 16 + (at + word.start()) * ADVANCE, len(word[0]) * ADVANCE
                out.append(
                    f'<text x="{x:.0f}" y="{y}" textLength="{length:.0f}"'
                    f' lengthAdjust="spacingAndGlyphs" fill="{PAPER if turned else colour}"'
                    f'{" font-weight=" + chr(34) + "bold" + chr(34) if bold else ""}>'
                    f"{html.escape(word[0])}</text>"
                )
    return "\n".join([*out, "</g>", "</svg>", ""])


# The dashboard.

OF_SITE = dict(zip([s[0] for s in SITES],
                   ["#3b7dd8", "#2c9c69", "#8a63c9", "#d97b29", "#c9405f", "#5c8a99"]))
OF_STATE = {"ready": "#58a67a", "busy": "#e0a93b", "dead": "#cc4b4b", "disabled": "#7b8794",
            "starting": "#9fb3c8", "refused": "#cc4b4b"}
OF_REFUSAL = {"unreachable": "#cc4b4b", "busy": "#e0a93b", "timeout": "#8a63c9", "other": "#7b8794"}
WIDE, HIGH, GAP = 486, 190, 12


def before(samples, index):
    """The sample from which a rate at this one is taken."""
    earlier = [s for s in samples[: index + 1] if s[0] >= samples[index][0] - WINDOW]
    return earlier[0]


def rates(samples, name, sites, other=""):
    line = []
    for index in range(1, len(samples)):
        (now, after), (then, early) = samples[index], before(samples, index)
        grown = sum(after.get((name, s, other), 0) - early.get((name, s, other), 0) for s in sites)
        line.append((now, grown / (now - then)))
    return line


def values(samples, name, site):
    return [(at, all_of[name, site, ""]) for at, all_of in samples if (name, site, "") in all_of]


def quantile(samples, name, site, part):
    line = []
    for index in range(1, len(samples)):
        (now, after), (_, early) = samples[index], before(samples, index)
        steps = [(float(le.replace("+Inf", "inf")), after[key] - early.get(key, 0))
                 for key in after for n, s, le in [key] if n == f"{name}_bucket" and s == site]
        steps.sort()
        if not steps or not steps[-1][1]:
            continue
        wanted, (low, below) = steps[-1][1] * part, (0.0, 0.0)
        for limit, count in steps:
            if count >= wanted:
                high = low if limit == float("inf") else limit
                share = (wanted - below) / (count - below)
                line.append((now, low + (high - low) * share))
                break
            low, below = limit, count
    return line


def frame(title, column, row, wide=WIDE, high=HIGH):
    x, y = GAP + column * (WIDE + GAP), 96 + row * (HIGH + GAP)
    return x, y, [
        f'<rect x="{x}" y="{y}" width="{wide}" height="{high}" rx="4" fill="#fff" stroke="#d9dee5"/>',
        f'<text x="{x + 12}" y="{y + 20}" font-weight="600">{title}</text>',
    ]


def nice(most):
    for step in (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000):
        if step * 4 >= most:
            return step
    return most / 4


def chart(title, lines, column, row, unit="", scale=1.0):
    """Lines over time; `lines` is name, colour and points."""
    x, y, out = frame(title, column, row)
    left, right, top, low = x + 58, x + WIDE - 14, y + 32, y + HIGH - 44
    most = max([value * scale for _, _, points in lines for _, value in points] or [0])
    step = nice(most or 1)
    for grid in range(5):
        height = low - (low - top) * grid / 4
        out.append(f'<path d="M{left} {height:.1f}H{right}" stroke="#eceff3"/>')
        label = f"{step * grid:g}{unit}"
        out.append(f'<text x="{left - 6}" y="{height + 4:.1f}" text-anchor="end" class="s">{label}</text>')
    for second in range(0, SECONDS + 1, 15):
        place = left + (right - left) * second / SECONDS
        out.append(f'<text x="{place:.0f}" y="{low + 15}" text-anchor="middle" class="s">{second} s</text>')
    at = left
    for name, colour, points in lines:
        path = " ".join(
            f"{left + (right - left) * min(when / SECONDS, 1):.1f},"
            f"{low - (low - top) * value * scale / (step * 4):.1f}"
            for when, value in points
        )
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
        out.append(f'<rect x="{at}" y="{y + HIGH - 18}" width="10" height="3" fill="{colour}"/>')
        out.append(f'<text x="{at + 14}" y="{y + HIGH - 13}" class="s">{name}</text>')
        at += 26 + 6.4 * len(name)
    return out


def timeline(samples, column, row):
    x, y, out = frame("Sites", column, row)
    left, right = x + 64, x + WIDE - 14
    for number, site in enumerate(OF_SITE):
        top = y + 32 + number * 19
        out.append(f'<text x="{left - 6}" y="{top + 11}" text-anchor="end" class="s">{site}</text>')
        for index, (at, all_of) in enumerate(samples[:-1]):
            state = [s for s in OF_STATE if all_of.get(("site_state", site, s))]
            begin = left + (right - left) * at / SECONDS
            width = (right - left) * (samples[index + 1][0] - at) / SECONDS + 0.4
            fill = OF_STATE[state[0]] if state else "#fff"
            out.append(f'<rect x="{begin:.1f}" y="{top}" width="{width:.1f}" height="14" fill="{fill}" shape-rendering="crispEdges"/>')
    at = left
    for state in ("ready", "busy", "dead", "disabled"):
        out.append(f'<rect x="{at}" y="{y + HIGH - 22}" width="10" height="10" fill="{OF_STATE[state]}"/>')
        out.append(f'<text x="{at + 14}" y="{y + HIGH - 13}" class="s">{state}</text>')
        at += 80
    return out


def dashboard(samples):
    last = samples[-1][1]
    total = lambda name: sum(last.get((name, site, ""), 0) for site in OF_SITE)
    states = lambda state: sum(last.get(("site_state", site, state), 0) for site in OF_SITE)
    good, bad = OF_STATE["ready"], OF_STATE["dead"]
    stats = [
        ("Daemon", "up" if last["up", "", ""] else "down", good),
        ("Sites dead", f"{states('dead'):.0f}", bad if states("dead") else good),
        ("Sites busy", f"{states('busy'):.0f}", OF_STATE["busy"] if states("busy") else good),
        ("Queries waiting", f"{total('site_queries_waiting'):.0f}", "#3b7dd8"),
        ("Clients", f"{total('site_clients'):.0f}", "#3b7dd8"),
        ("Configuration", "wrong" if last["config_wrong", "", ""] else "good", good),
    ]
    each = lambda make: [(site, colour, make(site)) for site, colour in OF_SITE.items()]
    refused = [
        (cause, colour, rates(samples, f"site_queries_refused_{cause}_total", list(OF_SITE)))
        for cause, colour in OF_REFUSAL.items()
    ]

    def at_work(site):
        busy = dict(values(samples, "site_channels_busy", site))
        open_ = values(samples, "site_channels_open", site)
        return [(at, 100 * busy[at] / count if count else 0) for at, count in open_]

    wide, high = 2 * WIDE + 3 * GAP, 96 + 3 * (HIGH + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img"'
        ' aria-label="Main panels of the dashboard">',
        "<style>text{font:12px Inter,Segoe UI,DejaVu Sans,sans-serif;fill:#2b3440}"
        ".s{font-size:10.5px;fill:#5b6673}</style>",
        f'<rect width="{wide}" height="{high}" fill="#f3f5f8"/>',
    ]
    small = (wide - GAP * 7) / 6
    for number, (title, value, colour) in enumerate(stats):
        x = GAP + number * (small + GAP)
        out.append(f'<rect x="{x:.0f}" y="{GAP}" width="{small:.0f}" height="72" rx="4" fill="#fff" stroke="#d9dee5"/>')
        out.append(f'<text x="{x + 12:.0f}" y="{GAP + 20}" class="s">{title}</text>')
        out.append(f'<text x="{x + 12:.0f}" y="{GAP + 56}" style="font-size:28px;font-weight:600;fill:{colour}">{value}</text>')
    out += timeline(samples, 0, 0)
    out += chart("Queries a second", each(lambda s: rates(samples, "site_queries_total", [s])), 1, 0)
    out += chart("Queries refused a second", refused, 0, 1)
    time_of = lambda s: quantile(samples, "site_response_time_seconds", s, 0.9)
    out += chart("Response time, nine of ten", each(time_of), 1, 1, " ms", 1000)
    out += chart("Channels at work", each(at_work), 0, 2, " %")
    waiting = each(lambda s: values(samples, "site_queries_waiting", s))
    out += chart("Queries waiting", waiting, 1, 2)
    return "\n".join([*out, "</svg>", ""])


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "target/release"
    samples, screen = run(Path(folder).resolve())
    (HERE / "top.svg").write_text(terminal(screen))
    (HERE / "dashboard.svg").write_text(dashboard(samples))


if __name__ == "__main__":
    main()
