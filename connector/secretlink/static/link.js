"use strict";
// The page of one link. It only ever writes text (textContent), keeps nothing, and shows the password after two
// deliberate acts by a person: "Continue", then a button that did not exist before. Scripts and hasty robots get nowhere.
(() => {
  const PAUSE = 400; // milliseconds between the two acts; the server insists as well
  const COVER_AFTER = 20000;
  const page = document.getElementById("link");
  const part = (id) => document.getElementById(id);
  const stages = ["start", "step", "secret", "trouble"];
  const opened = performance.now();
  const secondsAtOpening = Number(page.dataset.secondsLeft);
  const path = page.dataset.path;

  let challenge = ""; // given by the step
  let stepAt = Infinity;
  let nonce = ""; // one for each wish to see the password, so that a retry is not a second view
  let busy = false;
  let password = ""; // in the page only while it is to be seen
  let spelling = [];
  let coverTimer = 0;
  let again = () => {};

  const show = (stage) => stages.forEach((id) => { part(id).hidden = id !== stage; });
  const say = (text) => { part("said").textContent = text; };
  const trouble = (text, retry) => {
    part("trouble-text").textContent = text;
    again = retry;
    show("trouble");
    part("again").focus();
  };
  const reload = () => window.location.reload();
  const times = (count) => (count === 1 ? "once" : `${count} times`);

  async function post(step, body) {
    const answer = await fetch(`${path}/${step}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Reveal": "1" },
      body: JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      referrerPolicy: "no-referrer",
    });
    return { status: answer.status, content: await answer.json() };
  }

  // Runs one act at a time and turns whatever goes wrong into words with a way on.
  async function act(button, work, retry) {
    if (busy) return;
    busy = true;
    say("");
    button?.setAttribute("aria-disabled", "true");
    try {
      const { status, content } = await work();
      if (status === 200) return content;
      if (status === 404 || status === 410) reload();
      else if (status === 429) trouble("Too many tries from your network. Wait a minute, then try again.", retry);
      else if (content.error === "challenge_old") trouble("This page was open for a long time. Load it again to go on.", reload);
      else if (status === 403) trouble("The password was not shown, and no view was used.", reload);
      else trouble("The service cannot be reached right now. Wait a moment, then try again.", retry);
    } catch {
      trouble("The connection was lost. Check it, then try again: the same try is not counted twice.", retry);
    } finally {
      busy = false;
      button?.removeAttribute("aria-disabled");
    }
    return undefined;
  }

  async function proceed() {
    stepAt = Infinity;
    const answer = await act(part("proceed"), () => post("step", { challenge: page.dataset.challenge }), proceed);
    if (!answer) return;
    challenge = answer.challenge;
    nonce = newNonce();
    part("views-left").textContent = `${answer.views_left} of ${answer.max_views} ${answer.max_views === 1 ? "time" : "times"}`;
    part("step-text").textContent = answer.views_left === 1
      ? "The password can be shown once more. After that the link is used up."
      : `This uses one of the ${answer.views_left} views that are left.`;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "primary";
    button.id = "show";
    button.textContent = "Show password";
    button.addEventListener("click", (event) => {
      if (!event.isTrusted || performance.now() - stepAt < PAUSE) return;
      reveal();
    });
    part("show-place").replaceChildren(button);
    show("step");
    button.focus();
    stepAt = performance.now();
  }

  async function reveal() {
    const answer = await act(part("show"), () => post("reveal", { challenge, nonce }), reveal);
    if (!answer) return;
    password = answer.password;
    spelling = answer.spelling;
    part("last-view").hidden = !answer.last_view;
    part("facts").hidden = answer.last_view;
    part("facts-place").replaceChildren(part("facts"));
    part("views-left").textContent = `${times(answer.views_left)} more`;
    // The token is worth nothing any more; keep it out of the history all the same.
    if (answer.last_view) window.history.replaceState(null, "", "/s/used");
    cover();
    show("secret");
    part("secret-title").focus();
  }

  function newNonce() {
    const bytes = crypto.getRandomValues(new Uint8Array(18));
    return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
  }

  function cover() {
    clearTimeout(coverTimer);
    part("password").textContent = "\u25cf".repeat(60); // says nothing about the length either
    part("password").classList.add("covered");
    part("password").setAttribute("aria-hidden", "true");
    part("cover-state").hidden = false;
    part("uncover").setAttribute("aria-expanded", "false");
    part("uncover").textContent = "Show";
  }

  function uncover() {
    part("password").textContent = password;
    part("password").classList.remove("covered");
    part("password").removeAttribute("aria-hidden");
    part("cover-state").hidden = true;
    part("uncover").setAttribute("aria-expanded", "true");
    part("uncover").textContent = "Hide";
    clearTimeout(coverTimer);
    coverTimer = setTimeout(cover, COVER_AFTER);
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(password);
      say("Copied.");
    } catch {
      uncover();
      window.getSelection().selectAllChildren(part("password"));
      say("Copying is not allowed here. The password is selected: copy it by hand.");
    }
  }

  function spellOut() {
    part("spelled").replaceChildren(...(part("spelling").open ? spelling : []).map(([character, words]) => {
      const item = document.createElement("li");
      const letter = document.createElement("b");
      const spoken = document.createElement("span");
      letter.textContent = character;
      spoken.textContent = words;
      item.append(letter, " ", spoken);
      return item;
    }));
  }

  function wipe() {
    password = "";
    spelling = [];
    part("password").textContent = "";
    part("spelled").replaceChildren();
    challenge = "";
    nonce = "";
  }

  function tick() {
    const left = Math.max(0, secondsAtOpening - (performance.now() - opened) / 1000);
    part("time-left").textContent = timeWords(left);
  }

  function timeWords(seconds) {
    if (seconds <= 0) return "none";
    for (const [size, name] of [[86400, "day"], [3600, "hour"], [60, "minute"]]) {
      if (seconds >= 2 * size || (size === 60 && seconds >= size)) {
        const count = Math.floor(seconds / size);
        return `${count} ${name}${count === 1 ? "" : "s"}`;
      }
    }
    return "less than a minute";
  }

  const onClick = (id, work) => part(id).addEventListener("click", (event) => { if (event.isTrusted) work(); });
  onClick("proceed", proceed);
  onClick("back", () => { stepAt = Infinity; part("show-place").replaceChildren(); show("start"); part("proceed").focus(); });
  onClick("uncover", () => (part("password").classList.contains("covered") ? uncover() : cover()));
  onClick("copy", copy);
  part("spelling").addEventListener("toggle", spellOut);
  onClick("again", () => again());
  // A key held down is one wish, not many.
  document.addEventListener("keydown", (event) => { if (event.repeat && (event.key === "Enter" || event.key === " ")) event.preventDefault(); });
  // Nothing may come back out of the browser's memory of visited pages.
  window.addEventListener("pagehide", wipe);
  window.addEventListener("pageshow", (event) => { if (event.persisted) reload(); });
  setInterval(tick, 5000);
  show("start");
})();
