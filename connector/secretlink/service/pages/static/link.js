"use strict";
// The page of one link. It keeps nothing, and shows the password after two deliberate acts by a person.
(() => {
  const COVER_AFTER = 20000; // milliseconds
  const COVER_AFTER_READING = 180000; // with letters or picture open: thirty letters take two minutes by phone
  const { act, begin, duration, onClick, page, part, post, reload, say, show, spell, steps, trouble } = common;
  const keptHere = Boolean(page.dataset.linkId); // whether the token stays in the browser
  const path = page.dataset.path;

  let checked = page.dataset.checked === "yes";
  let secondsLeft = Number(page.dataset.secondsLeft ?? NaN); // as of `toldAt`
  let toldAt = bothClocks();
  let password = ""; // in the page only while it is to be seen
  let qr; // the picture of it
  let coverTimer = 0;

  const saySo = (text) => { part("said").textContent = text; };
  const proof = async () => (keptHere ? { lookup: await fragment.lookup() } : {});

  // ---------------------------------------------------------------- to the password

  const { press } = steps({
    address: `${path}/step`,
    body: proof,
    gone,
    prepare(answer) {
      tellFacts(answer);
      part("step-text").textContent = say("script.uses_one", { n: answer.views_left });
      const focus = checked ? part("answer") : undefined;
      return { label: say("script.show_password"), style: "primary", focus, work: reveal };
    },
  });

  async function reveal(button, { challenge, nonce }) {
    const typed = checked ? part("answer").value : "";
    if (checked && !/[0-9]/.test(typed.normalize("NFKC"))) return notTheAnswer(say("check.not_a_number"));
    const work = async () => {
      const wish = { challenge, nonce, ...(await proof()) };
      if (checked && keptHere) wish.check = await fragment.check(typed);
      else if (checked) wish.answer = typed;
      return post(`${path}/reveal`, wish);
    };
    const refused = (content) => {
      if (content.error === "check") notTheAnswer(say("check.wrong", { n: content.tries_left }));
      else if (content.error === "repeated") sentBefore(content);
      else if (content.error === "damaged") trouble(say("message.damaged"));
      else return false;
      return true;
    };
    const answer = await act(button, work, { retry: () => reveal(button, { challenge, nonce }), gone, refused });
    if (!answer) return undefined;
    try {
      password = keptHere ? await fragment.open(answer.sealed, answer.max_views, answer.expires_at) : answer.password;
    } catch {
      return trouble(say("script.broken"));
    }
    return reached(answer);
  }

  function notTheAnswer(text) {
    show("step");
    part("answer-problem").textContent = text;
    part("answer-problem").hidden = false;
    part("answer").setAttribute("aria-invalid", "true");
    part("answer").select();
    part("answer").focus();
  }

  // The answer to this very press was lost, and by now it is too late to give it again.
  function sentBefore(content) {
    tellViews(content);
    trouble(say("script.repeated"), reload);
  }

  function reached(answer) {
    part("last-view").hidden = !answer.last_view;
    part("facts").hidden = answer.last_view;
    part("facts-place").replaceChildren(part("facts"));
    part("views-left").textContent = say("script.more", { n: answer.views_left });
    part("languages")?.remove(); // another language would load the page anew, without the password
    qr = answer.qr;
    part("qr").hidden = !qr;
    // The token is worth nothing any more; keep it out of the history all the same.
    if (answer.last_view) window.history.replaceState(null, "", "/s/used");
    cover();
    show("secret");
    part("secret-title").focus();
  }

  function tellViews({ views_left: left, max_views: n }) {
    part("views-left").textContent = say("link.views", { n, left });
  }

  // A page that keeps the token to itself says nothing of the link until it has proved that it may know.
  function tellFacts(answer) {
    tellViews(answer);
    secondsLeft = answer.seconds_left;
    toldAt = bothClocks();
    tick();
    if (!keptHere) return;
    if (answer.name) tellName(answer.name);
    part("ticket").textContent = answer.ticket;
    part("ticket").hidden = !answer.ticket;
    part("until").textContent = answer.until;
    part("until").dateTime = answer.until_iso;
    part("facts").hidden = false;
    checked = answer.checked;
    part("check").hidden = !checked;
  }

  function tellName(name) {
    const whose = document.createElement("span");
    whose.className = "whose";
    whose.textContent = name;
    part("title").replaceChildren(...say("link.title", { name: "\u0000" }).split("\u0000").flatMap((text, at) => (at ? [whose, text] : [text])));
    part("next-sign-in").textContent = say("link.next_sign_in", { name });
  }

  // What became of the link is told to whoever has the token. Where only the browser has it, a form takes the proof
  // along, because the answer is a page.
  async function gone() {
    if (!keptHere) return reload();
    const form = document.createElement("form");
    const field = document.createElement("input");
    form.method = "post";
    form.action = `${path}/ended?lang=${document.documentElement.lang}`;
    form.hidden = true;
    field.name = "lookup";
    field.value = await fragment.lookup();
    form.append(field);
    document.body.append(form);
    return form.submit();
  }

  // ---------------------------------------------------------------- with the password

  function cover() {
    clearTimeout(coverTimer);
    part("password").textContent = "\u25cf".repeat(60); // says nothing about the length either
    part("password").classList.add("covered");
    part("password").setAttribute("aria-hidden", "true");
    part("cover-state").hidden = false;
    part("uncover").setAttribute("aria-expanded", "false");
    part("uncover").textContent = say("script.show");
    part("spelling").open = false;
    part("qr").open = false;
    spellOut();
    drawQr();
  }

  // Whatever is to be seen goes at one time. What is opened or closed meanwhile starts that time anew.
  function coverLater() {
    const reading = part("spelling").open || part("qr").open;
    clearTimeout(coverTimer);
    if (!reading && part("password").classList.contains("covered")) return;
    coverTimer = setTimeout(() => {
      cover();
      saySo(say("script.hidden_again"));
    }, reading ? COVER_AFTER_READING : COVER_AFTER);
  }

  // A line that is too long breaks before a hyphen, never after it: at a line's end a hyphen looks like a broken word.
  const pieces = (text) => text.split(/(?=-)/).map((piece) => {
    const span = document.createElement("span");
    span.className = "piece";
    span.textContent = piece;
    return span;
  });

  function uncover() {
    part("password").replaceChildren(...pieces(password));
    part("password").classList.remove("covered");
    part("password").removeAttribute("aria-hidden");
    part("cover-state").hidden = true;
    part("uncover").setAttribute("aria-expanded", "true");
    part("uncover").textContent = say("script.hide");
    coverLater();
  }

  async function copy() {
    saySo("");
    try {
      await navigator.clipboard.writeText(password);
      saySo(say("script.copied"));
    } catch {
      uncover();
      window.getSelection().selectAllChildren(part("password"));
      saySo(say("script.copy_by_hand"));
    }
  }

  // Letters and picture are in the page only while they are to be seen, like the password.
  function spellOut() {
    part("spelled").replaceChildren(...(part("spelling").open ? spell(password) : []).map(([character, words]) => {
      const item = document.createElement("li");
      const letter = document.createElement("b");
      const spoken = document.createElement("span");
      letter.textContent = character;
      spoken.textContent = words;
      item.append(letter, " ", spoken);
      return item;
    }));
  }

  function drawQr() {
    const shown = part("qr").open && qr ? qr : { size: 1, path: "" };
    part("qr-picture").setAttribute("viewBox", `0 0 ${shown.size} ${shown.size}`);
    part("qr-picture").firstElementChild.setAttribute("d", shown.path);
  }

  function wipe() {
    password = "";
    part("password").textContent = "";
    part("spelled").replaceChildren();
    qr = undefined;
    drawQr();
    part("show-place").replaceChildren();
    if (part("answer")) part("answer").value = "";
    if (keptHere) fragment.forget();
  }

  // The first stands still in some browsers while the device sleeps, the second may be set back.
  function bothClocks() {
    return [performance.now(), Date.now()];
  }

  function tick() {
    const passed = Math.max(...bothClocks().map((now, at) => now - toldAt[at]));
    const left = secondsLeft - passed / 1000;
    if (!Number.isNaN(left)) part("time-left").textContent = duration(Math.max(0, left));
  }

  // ---------------------------------------------------------------- the start

  function firstStage() {
    if (!keptHere) return "start";
    if (!fragment.able()) {
      part("stuck-text").textContent = say("script.insecure");
      return "stuck";
    }
    return fragment.take(window.location.hash) ? "paste" : "start";
  }

  function usePasted() {
    const problem = fragment.take(part("pasted").value.trim());
    part("pasted-problem").textContent = problem ? say(problem) : "";
    part("pasted-problem").hidden = !problem;
    if (problem) return part("pasted").focus();
    part("pasted").value = "";
    show("start");
    return part("proceed").focus();
  }

  // The same press must not reach the button that gets the focus meanwhile.
  const onEnter = (id, work) => part(id)?.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.repeat || !event.isTrusted) return;
    event.preventDefault();
    work(event);
  });

  onClick("uncover", () => (part("password").classList.contains("covered") ? uncover() : cover()));
  onClick("copy", copy);
  onClick("use-pasted", usePasted);
  for (const [id, draw] of [["spelling", spellOut], ["qr", drawQr]]) {
    part(id).addEventListener("toggle", () => {
      draw();
      coverLater();
    });
  }
  onEnter("answer", press);
  onEnter("pasted", usePasted);
  part("languages")?.addEventListener("click", (event) => {
    if (!keptHere || !event.target.href) return;
    event.preventDefault();
    window.location.assign(event.target.href + window.location.hash); // the token must come along
  });
  window.addEventListener("hashchange", reload);
  window.addEventListener("pagehide", wipe);
  setInterval(tick, 5000);
  begin(firstStage());
})();
