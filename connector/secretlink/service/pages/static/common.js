"use strict";
// What the pages' scripts share: texts in the page's language, one act at a time, and the two deliberate steps. Only
// text is ever written (textContent), and only a person gets through: handlers want trusted events, and the second
// button does not exist before the first one was pressed. Scripts and hasty robots get nowhere.
const common = (() => {
  const PAUSE = 400; // milliseconds between the two acts; the server insists as well
  const DEADLINE = 20000; // milliseconds; the service knows the same act again for a minute
  const STAGES = ["start", "step", "secret", "trouble", "paste", "stuck"];
  const part = (id) => document.getElementById(id);
  const page = part("page");
  const { texts, spelling } = language; // the file of the page's language
  const plural = new Intl.PluralRules(document.documentElement.lang);

  let busy = false;
  let again = () => {};

  function say(key, values = {}) {
    const text = texts[key];
    const form = typeof text === "string" ? text : text[plural.select(values.n)] ?? text.other;
    return form.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  }

  function duration(seconds) {
    for (const [size, key] of [[86400, "duration.days"], [3600, "duration.hours"], [60, "duration.minutes"]]) {
      if (seconds >= 2 * size || (size === 60 && seconds >= size)) return say(key, { n: Math.floor(seconds / size) });
    }
    return seconds > 0 ? say("duration.short") : say("duration.none");
  }

  const spell = (text) => Array.from(text, (character) => [
    character,
    spelling.characters[character]
      ?? spelling.other.replace("{code}", `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`),
  ]);

  const show = (stage) => STAGES.forEach((id) => { if (part(id)) part(id).hidden = id !== stage; });
  // To be called when all is there and runs: only then what does without scripts is not needed any more.
  function begin(stage) {
    const plain = part("plain");
    if (plain.contains(document.activeElement)) return; // they came late, and somebody is typing there
    const said = plain.querySelector("[role=alert]");
    if (said) document.querySelector(".stage").before(said);
    plain.remove();
    show(stage);
  }
  // Of the answer to the form for browsers without scripts the browser would send that form again, and use up a try.
  const typed = window.location.pathname.endsWith("/reveal");
  const reload = () => (typed ? window.location.replace(page.dataset.path) : window.location.reload());
  const onClick = (id, work) => part(id)?.addEventListener("click", (event) => { if (event.isTrusted) work(); });

  // Without `retry` trying again would not help, and the text says what does.
  function trouble(text, retry) {
    part("trouble-text").textContent = text;
    part("again").hidden = !retry;
    again = retry;
    show("trouble");
    part(retry ? "again" : "trouble-text").focus();
  }

  async function post(address, body) {
    const cut = new AbortController();
    const timer = setTimeout(() => cut.abort(), DEADLINE);
    try {
      return await read(await send(address, body, cut.signal));
    } finally {
      clearTimeout(timer);
    }
  }

  function send(address, body, signal) {
    return fetch(`${address}?lang=${document.documentElement.lang}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Reveal": "1" },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
      signal,
    });
  }

  async function read(answer) {
    // What is not ours, such as a proxy's page about a service that is away, says enough by its status.
    const content = await answer.json().catch((problem) => {
      if (answer.ok) throw problem;
      return {};
    });
    return { status: answer.status, content };
  }

  // Runs one act at a time and turns whatever goes wrong into words with a way on.
  // `gone` is called for what cannot be opened any more; `refused` may take a refusal in hand by giving true.
  async function act(button, work, { retry, gone = reload, refused = () => false, refusal = "script.refused" }) {
    if (busy) return undefined;
    busy = true;
    // Nor is there a way back while nobody can tell whether it has happened.
    const still = [button, part("back")];
    still.forEach((one) => one?.setAttribute("aria-disabled", "true"));
    try {
      const { status, content } = await work();
      if (status === 200) return content;
      if (status === 404 || status === 410) gone();
      else if (status === 429) trouble(say("script.throttled"), retry);
      else if (status === 403 && refused(content)) return undefined;
      else if (content.error === "challenge_old") trouble(say("script.too_old"), reload);
      else if (status === 403) trouble(say(refusal), reload);
      else trouble(say("script.away"), retry);
    } catch {
      trouble(say("script.lost"), retry);
    } finally {
      busy = false;
      still.forEach((one) => one?.removeAttribute("aria-disabled"));
    }
    return undefined;
  }

  function newNonce() {
    const bytes = crypto.getRandomValues(new Uint8Array(18));
    return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
  }

  // The two steps. `address` takes the first one, sent as `body()`; its answer is handed to `prepare`, which says what
  // the second button is to be called and what it does: it gets the step's challenge and one nonce for this wish, so
  // that a retry is not a second act.
  function steps({ address, body, gone, refusal, prepare }) {
    let stepAt = Infinity;
    let second = () => {};

    async function proceed() {
      stepAt = Infinity;
      const wish = { challenge: page.dataset.challenge, ...(await body()) };
      const answer = await act(part("proceed"), () => post(address, wish), { retry: proceed, gone, refusal });
      if (!answer) return;
      const { label, style, focus, work } = prepare(answer);
      const nonce = newNonce();
      const button = document.createElement("button");
      button.type = "button";
      button.className = style;
      button.id = "show";
      button.textContent = label;
      second = (event) => {
        if (event.isTrusted && performance.now() - stepAt >= PAUSE) work(button, { challenge: answer.challenge, nonce });
      };
      button.addEventListener("click", second);
      part("show-place").replaceChildren(button);
      show("step");
      (focus ?? button).focus();
      stepAt = performance.now();
    }

    onClick("proceed", proceed);
    onClick("back", () => {
      if (busy) return;
      stepAt = Infinity;
      part("show-place").replaceChildren();
      show("start");
      part("proceed").focus();
    });
    return { press: (event) => second(event) };
  }

  onClick("again", () => again());
  // A key held down is one wish, not many.
  document.addEventListener("keydown", (event) => {
    if (event.repeat && (event.key === "Enter" || event.key === " ")) event.preventDefault();
  });
  // Nothing may come back out of the browser's memory of visited pages.
  window.addEventListener("pageshow", (event) => { if (event.persisted) reload(); });

  return { act, begin, duration, onClick, page, part, post, reload, say, show, spell, steps, trouble };
})();
