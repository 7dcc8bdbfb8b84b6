// The terminal of a console: shows what its WebSocket brings, sends what is typed, and comes back by itself from where
// it was. See consoles/tab.py for what is said. Nothing that the console shows can reach the clipboard or the title.
"use strict";

(() => {
  const place = document.getElementById("console");
  const state = document.getElementById("console-state");
  const LOGGED_OUT = 4401, TOO_MANY = 4429, REFUSED = 1008;
  const SEEN_EVERY = 1 << 15; // bytes
  const TYPED_MOST = 8192; // characters a message: a paste may be long
  const AGAIN_MS = 300, AGAIN_MOST_MS = 5000;

  // xterm.js writes style sheets; the page's content rules allow those that carry its nonce.
  const createElement = document.createElement.bind(document);
  document.createElement = (name, options) => {
    const element = createElement(name, options);
    if (String(name).toLowerCase() === "style") element.setAttribute("nonce", place.dataset.nonce);
    return element;
  };

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const LIGHT = {
    background: "#ffffff", foreground: "#1c2422", cursor: "#0f766e", cursorAccent: "#ffffff", selectionBackground: "#bfe3dc",
    black: "#1c2422", red: "#b3261e", green: "#17693a", yellow: "#8a5a00", blue: "#1d5fa8", magenta: "#8b3a8f",
    cyan: "#0f766e", white: "#5a6663", brightBlack: "#5a6663", brightRed: "#b3261e", brightGreen: "#17693a",
    brightYellow: "#8a5a00", brightBlue: "#1d5fa8", brightMagenta: "#8b3a8f", brightCyan: "#0f766e", brightWhite: "#1c2422",
  };
  const DARK = {
    background: "#111615", foreground: "#e6ecea", cursor: "#4fc0b2", cursorAccent: "#111615", selectionBackground: "#2b5a53",
    black: "#2d3734", red: "#ff9d94", green: "#7ed8a0", yellow: "#f0c26a", blue: "#8fc1ff", magenta: "#e0a3e4",
    cyan: "#4fc0b2", white: "#e6ecea", brightBlack: "#9daba7", brightRed: "#ffb8b1", brightGreen: "#a4e6bd",
    brightYellow: "#f7d693", brightBlue: "#b5d6ff", brightMagenta: "#ecc2ef", brightCyan: "#86d8cd", brightWhite: "#ffffff",
  };

  const terminal = new Terminal({
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    fontSize: innerWidth < 640 ? 12 : 14,
    scrollback: 5000,
    cursorBlink: false,
    screenReaderMode: false,
    theme: dark.matches ? DARK : LIGHT,
    minimumContrastRatio: 4.5,
  });
  const fit = new FitAddon.FitAddon();
  terminal.loadAddon(fit);
  terminal.open(place);
  dark.addEventListener("change", () => { terminal.options.theme = dark.matches ? DARK : LIGHT; });

  let socket = null, position = 0, seen = 0, told = 0, againMs = AGAIN_MS, failures = 0, isOver = false;

  const say = (words) => { state.textContent = words; };
  const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;
  const tellSize = () => {
    fit.fit();
    if (isOpen()) socket.send(JSON.stringify({ rows: terminal.rows, columns: terminal.cols }));
  };
  const tellSeen = () => {
    if (isOpen() && seen > told) { told = seen; socket.send(JSON.stringify({ seen })); }
  };

  const show = (bytes) => {
    position += bytes.length;
    const upTo = position;
    terminal.write(bytes, () => {
      seen = upTo;
      if (seen - told >= SEEN_EVERY) tellSeen();
    });
  };

  const heed = (said) => {
    if (said.ended) { end(said.ended); return; }
    if (said.away) { say("The console does not answer; trying again…"); return; }
    say("");
    // CAN ends an escape sequence that was cut.
    if (said.skipped && position > 0) terminal.write("\x18\r\n[… some output was skipped …]\r\n");
    if (said.skipped) { position = seen = told = said.position; }
  };

  const end = (words) => {
    isOver = true;
    document.getElementById("console-end").textContent = words;
    say("");
    terminal.options.disableStdin = true;
    document.getElementById("console-ended").hidden = false;
    fit.fit();
  };

  const connect = () => {
    let wasOpen = false;
    socket = new WebSocket(`wss://${location.host}${place.dataset.stream}?after=${position}`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { wasOpen = true; failures = 0; againMs = AGAIN_MS; told = seen = position; say(""); tellSize(); };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") heed(JSON.parse(event.data)); else show(new Uint8Array(event.data));
    };
    socket.onclose = (event) => {
      if (isOver) return;
      if (event.code === LOGGED_OUT) { location.reload(); return; }
      if (event.code === TOO_MANY) { say("Too many tabs show consoles of yours. Close one, then load this page again."); return; }
      if (event.code === REFUSED) { say("The connection was refused. Load this page again."); return; }
      if (!wasOpen) failures += 1;
      say("The connection was lost; trying again…");
      setTimeout(again, againMs);
      againMs = Math.min(againMs * 2, AGAIN_MOST_MS);
    };
  };

  // Where no connection comes about, the login may have ended: then the page itself leads to the form.
  const again = async () => {
    if (failures >= 2) {
      const page = await fetch(location.pathname, { redirect: "manual" }).catch(() => null);
      if (page !== null && page.type === "opaqueredirect") { location.reload(); return; }
      if (page !== null && page.status === 404) { end("This console has ended."); return; }
    }
    connect();
  };

  terminal.onData((text) => {
    if (!isOpen()) return;
    const encoder = new TextEncoder();
    for (let at = 0; at < text.length; at += TYPED_MOST) socket.send(encoder.encode(text.slice(at, at + TYPED_MOST)));
  });
  terminal.onBinary((text) => {
    if (isOpen()) socket.send(Uint8Array.from(text, (letter) => letter.charCodeAt(0) & 255));
  });
  new ResizeObserver(tellSize).observe(place);
  addEventListener("focus", tellSize); // of several tabs the one that is looked at says the size
  setInterval(tellSeen, 500);

  fit.fit();
  connect();
  terminal.focus();
})();
