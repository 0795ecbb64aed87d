// The console asks the control port every second and draws only what changed, so that typing is not disturbed.
"use strict";

const EVERY = 1000;
const drawn = {};
const drafts = {};
const opened = new Set();
let chosenMail = null;
let latest = null;

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const byId = (id) => document.getElementById(id);
const clock = (text) => (text ? new Date(text).toLocaleTimeString() : "–");
const plain = (html) => new DOMParser().parseFromString(html, "text/html").body.textContent.trim();

function say(text, wrong = false) {
  byId("message").textContent = text;
  byId("message").className = wrong ? "wrong" : "";
}

async function call(method, path, body) {
  const answer = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error || answer.statusText);
  return content;
}

async function act(description, method, path, body) {
  try {
    const content = await call(method, path, body);
    say(typeof description === "function" ? description(content) : description);
  } catch (error) {
    say(error.message, true);
  }
  await refresh();
}

// Replace a section's content if its data changed, and keep the keyboard focus where it was.
function redraw(id, data, build) {
  const text = JSON.stringify(data);
  if (drawn[id] === text) return;
  drawn[id] = text;
  const place = byId(id);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  place.replaceChildren(...build());
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

function badge(status) {
  const kind = { "Awaiting Approval": "wait", Approved: "good", Rejected: "bad", "Needs technician": "bad", "Security alarm": "bad", "Retry reset": "wait" }[status];
  return make("span", { class: `badge ${kind || ""}` }, status);
}

function terms(pairs) {
  return make("dl", {}, ...pairs.flatMap(([name, value]) => (value ? [make("dt", {}, name), make("dd", {}, value)] : [])));
}

function votes(ticket) {
  const words = { 1: "approved", 2: "rejected" };
  return ticket.approvals.map((row) => `${row.email}: ${words[row.result] || "waiting"}${row.comment ? ` (“${row.comment}”)` : ""}`).join("; ");
}

function voting(ticket, overview) {
  const waiting = ticket.approvals.filter((row) => row.current && row.result === null);
  if (!waiting.length || ticket.closed) return null;
  const key = `vote-${ticket.id}`;
  const draft = (drafts[key] ??= { approver: waiting[0].email, comment: "" });
  const people = [...new Set([...waiting.map((row) => row.email), ...overview.contacts.filter((one) => one.client_id === ticket.client_id).map((one) => one.email)])];
  const approver = make("select", { "data-key": `${key}-who` }, ...people.map((email) => make("option", { value: email, selected: email === draft.approver && "" }, email)));
  const comment = make("input", { "data-key": `${key}-comment`, value: draft.comment, placeholder: "optional" });
  approver.addEventListener("change", () => (draft.approver = approver.value));
  comment.addEventListener("input", () => (draft.comment = comment.value));
  const answer = (verb, word) => () => {
    delete drafts[key];
    return act(`Ticket ${ticket.id} ${word} by ${approver.value}.`, "POST", `/control/tickets/${ticket.id}/${verb}`, { approver: approver.value, comment: comment.value });
  };
  return make("div", { class: "act" },
    make("label", {}, "Approve as", approver), make("label", {}, "Words", comment),
    make("button", { class: "approve", "data-key": `${key}-yes`, onclick: answer("approve", "approved") }, `Approve ${ticket.id}`),
    make("button", { class: "reject", "data-key": `${key}-no`, onclick: answer("reject", "rejected") }, `Reject ${ticket.id}`));
}

function agentTools(ticket, overview) {
  const status = make("select", { "data-key": `status-${ticket.id}` }, ...overview.statuses.map((name) => make("option", { selected: name === ticket.status && "" }, name)));
  return make("div", { class: "act" },
    make("label", {}, "Play the agent: status", status),
    make("button", { "data-key": `set-${ticket.id}`, onclick: () => act(`Ticket ${ticket.id} is now ${status.value}.`, "PATCH", `/control/tickets/${ticket.id}`, { status: status.value }) }, "Set status"));
}

function remembered(key, attributes, ...children) {
  const details = make("details", { ...attributes, open: opened.has(key) && "" }, ...children);
  details.addEventListener("toggle", () => (details.open ? opened.add(key) : opened.delete(key)));
  return details;
}

function ticketCard(ticket, overview) {
  const history = ticket.actions.map((action) => make("li", {},
    make("span", { class: "when" }, clock(action.at)), make("strong", {}, `${action.outcome.name} · ${action.who}`), action.hidden ? " (private)" : "",
    action.note_html ? `\n${plain(action.note_html)}` : ""));
  return make("article", { class: "card" },
    make("h3", {}, `${ticket.id} · ${ticket.summary}`, badge(ticket.status)),
    terms([["Customer", ticket.client], ["Requester", ticket.requester], ["Account", ticket.subject], ["Reset", ticket.what], ["Reason", ticket.details], ["Priority", ticket.priority], ["Approval", votes(ticket)]]),
    voting(ticket, overview),
    remembered(`history-${ticket.id}`, {}, make("summary", { "data-key": `history-${ticket.id}` }, `History (${ticket.actions.length})`), make("ol", { class: "history" }, ...history), agentTools(ticket, overview)));
}

function mailButton(mail) {
  return make("button", { class: "mail", type: "button", "data-key": `mail-${mail.id}`, "aria-pressed": String(mail.id === chosenMail), onclick: () => { chosenMail = mail.id; draw(latest); } },
    make("strong", {}, mail.subject || "(no subject)"), make("span", { class: "hint" }, `to ${mail.recipients.join(", ")} · ${clock(mail.at)}`));
}

function mailView(mail) {
  if (!mail) return [make("p", { class: "empty" }, "Choose a mail to read it.")];
  const parts = [make("h3", {}, mail.subject), terms([["From", mail.sender], ["To", mail.recipients.join(", ")], ["At", clock(mail.at)]])];
  if (mail.html) parts.push(make("iframe", { src: `/control/mails/${mail.id}/html`, title: `Mail: ${mail.subject}`, sandbox: "allow-popups allow-popups-to-escape-sandbox", referrerpolicy: "no-referrer" }));
  if (mail.text) parts.push(remembered("plain", { class: "plain" }, make("summary", {}, "Plain text"), make("pre", {}, mail.text)));
  return parts;
}

function accountRow(account) {
  const notes = [account.enabled ? "" : "disabled", account.synchronised ? "synchronised" : "", account.federated ? "federated" : "", account.guest ? "guest" : "", ...account.roles, ...account.groups, account.must_change ? "must change password" : ""].filter(Boolean);
  const kinds = account.methods.map((method) => method.kind.replace("AuthenticationMethod", "") + (method.default ? " (default)" : ""));
  return make("tr", { class: account.writes ? "changed" : "" },
    make("td", {}, make("strong", {}, account.display_name), make("br"), account.upn), make("td", {}, account.tenant), make("td", {}, notes.join(", ") || "–"),
    make("td", {}, kinds.join(", ") || "none"), make("td", {}, clock(account.password_set_at)), make("td", {}, clock(account.sessions_revoked_at)));
}

function fillForm(overview) {
  const form = byId("raise-form");
  if (form.elements.type.options.length) return;
  form.elements.requester.append(...overview.contacts.map((one) => make("option", { value: one.email, selected: one.email === "ben@contoso.com" && "" }, `${one.name} <${one.email}>`)));
  form.elements.type.append(...overview.types.map((name) => make("option", { selected: name === "Password Reset" && "" }, name)));
  byId("upns").append(...overview.accounts.map((account) => make("option", { value: account.upn })));
}

function draw(overview) {
  latest = overview;
  fillForm(overview);
  byId("tickets-count").textContent = `(${overview.tickets.length})`;
  byId("mails-count").textContent = `(${overview.mails.length})`;
  const nothing = (text) => [make("p", { class: "empty" }, text)];
  redraw("ticket-list", overview.tickets, () => (overview.tickets.length ? overview.tickets.map((ticket) => ticketCard(ticket, overview)) : nothing("No tickets yet. Raise one above.")));
  redraw("mail-list", [overview.mails.map((mail) => mail.id), chosenMail], () => (overview.mails.length ? overview.mails.map(mailButton) : nothing("No mails yet.")));
  const mail = overview.mails.find((one) => one.id === chosenMail);
  redraw("mail-view", [mail || null, overview.mails.length > 0], () => (overview.mails.length ? mailView(mail) : []));
  redraw("account-list", overview.accounts, () => overview.accounts.map(accountRow));
}

async function refresh() {
  try {
    draw(await call("GET", "/control/overview"));
  } catch (error) {
    say(`The sandbox does not answer: ${error.message}`, true);
  }
}

byId("raise-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const values = Object.fromEntries(new FormData(event.target));
  const body = { requester: values.requester, type: values.type, details: values.details };
  if (values.subject) body.subject = values.subject;
  if (values.what) body.what = values.what;
  act((content) => `Ticket ${content.id} raised.`, "POST", "/control/tickets", body);
});

refresh();
setInterval(refresh, EVERY);
