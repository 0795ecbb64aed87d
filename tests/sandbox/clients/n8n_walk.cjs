// What n8n's HaloPSA node sees of a HaloPSA: the node itself, with the few things of n8n around it that it uses.
// Reads {package, url, client_id, client_secret, ticket, user_search} as JSON from standard input and prints JSON.
"use strict";
const Module = require("node:module");
const path = require("node:path");

class NodeApiError extends Error {
  constructor(_node, error) { super(error.message); }
}
const load = Module._load;
Module._load = function (name, ...rest) {
  return name === "n8n-workflow" ? { NodeApiError, NodeConnectionTypes: { Main: "main" } } : load.call(this, name, ...rest);
};

async function request(options) {
  const url = new URL(options.uri);
  for (const [name, value] of Object.entries(options.qs || {})) url.searchParams.set(name, value);
  const headers = { ...options.headers };
  delete headers.Connection; // fetch keeps connections by itself
  const body = options.form ? new URLSearchParams(options.form) : options.body && JSON.stringify(options.body);
  const answer = await fetch(url, { method: options.method, headers, body });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} - ${text}`);
  return JSON.parse(text);
}

async function main(wish) {
  const { HaloPSA } = require(path.join(wish.package, "dist", "nodes", "HaloPSA", "HaloPSA.node.js"));
  const credentials = {
    hostingType: "hostedByHalo", authUrl: `${wish.url}/auth`, resourceApiUrl: `${wish.url}/api`, tenant: "msp",
    client_id: wish.client_id, client_secret: wish.client_secret, scope: "admin edit:tickets edit:customers",
  };
  const run = async (resource, operation, parameters) => {
    const given = { resource, operation, simplify: false, filters: {}, returnAll: true, ...parameters };
    const node = new HaloPSA();
    const context = {
      getInputData: () => [{ json: {} }],
      getNodeParameter: (name) => given[name],
      getCredentials: async () => credentials,
      getNode: () => ({ name: "HaloPSA" }),
      continueOnFail: () => false,
      logger: { debug() {} },
      helpers: {
        request,
        returnJsonArray: (data) => (Array.isArray(data) ? data : [data]).map((json) => ({ json })),
        constructExecutionMetaData: (data) => data,
      },
    };
    return (await node.execute.call(context))[0].map((item) => item.json);
  };
  const number = String(wish.ticket);
  const seen = {
    tickets: (await run("ticket", "getAll", {})).map((ticket) => ticket.id),
    ticket: (await run("ticket", "get", { ticketId: number }))[0],
    simple: (await run("ticket", "get", { ticketId: number, simplify: true }))[0],
    clients: (await run("client", "getAll", {})).map((client) => [client.name, client.id]),
    active: (await run("user", "getAll", { filters: { search: wish.user_search, activeStatus: "active" } })).length,
    users: await run("user", "getAll", { filters: { search: wish.user_search } }),
  };
  const fields = { status_id: "9" };
  seen.updated = (await run("ticket", "update", { ticketId: number, updateFields: fields }))[0];
  seen.created = (await run("ticket", "create", {
    summary: "From n8n", details: "made by a stranger", ticketType: "1", additionalFields: {},
  }))[0];
  try {
    await run("ticket", "get", { ticketId: "abc" });
  } catch (error) {
    seen.refused = error.message;
  }
  return seen;
}

let text = "";
process.stdin.on("data", (part) => { text += part; });
process.stdin.on("end", () => main(JSON.parse(text)).then((seen) => console.log(JSON.stringify(seen)), (error) => {
  console.error(error);
  process.exitCode = 1;
}));
