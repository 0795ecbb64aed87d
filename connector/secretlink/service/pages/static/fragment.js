"use strict";
// Opens links whose token stands behind "#" and is never sent: the server gets a proof that we have it (the lookup)
// and gives the sealed bytes. The format is written down in connector/secretlink/seal.py.
const fragment = (() => {
  const TOKEN = /(?:#|%(?:25)*23)([A-Za-z0-9_-]{32})(?![A-Za-z0-9_-])/;
  const linkId = document.getElementById("page").dataset.linkId;
  const utf8 = new TextEncoder();
  let token; // bytes

  const fromText = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const toText = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_");
  const derive = (info) => ({ name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info: utf8.encode(info) });
  const master = () => crypto.subtle.importKey("raw", token, "HKDF", false, ["deriveBits", "deriveKey"]);

  // What the browser cannot do outside of a secure context: https, or this very machine.
  const able = () => Boolean(window.isSecureContext && window.crypto?.subtle);

  // Take the token out of an address, or of a text with one in it, however a mail gateway has rewritten the "#".
  // Gives "" when it is there, else the key of the text that says what is wrong.
  function take(text) {
    const found = TOKEN.exec(text);
    if (!found) return "script.paste_incomplete";
    if (/\/s\//.test(text) || /%2Fs%2F/i.test(text)) {
      if (!text.includes(linkId)) return "script.paste_other";
    }
    token = fromText(found[1]);
    // Where it was pasted: into the address as well, as if it had come with it, or it is gone when the page is loaded
    // again or in another language.
    window.history.replaceState(null, "", `#${found[1]}`);
    return "";
  }

  async function lookup() {
    return toText(await crypto.subtle.deriveBits(derive("secretlink/1 lookup"), await master(), 256));
  }

  // The proof that somebody typed the right answer: compare seal.normalise_answer and seal.check_of.
  async function check(answer) {
    // JavaScript has no case folding; upper and then lower case comes to the same for what ticket numbers are made of.
    // Letter by letter, or a sigma at the end becomes another one.
    const folded = Array.from(answer.normalize("NFKC").toUpperCase(), (letter) => letter.toLowerCase()).join("");
    const normalised = folded.replace(/[^\p{L}\p{N}]/gu, "");
    const kind = { name: "HMAC", hash: "SHA-256", length: 256 };
    const key = await crypto.subtle.deriveKey(derive("secretlink/1 check"), await master(), kind, false, ["sign"]);
    return toText(await crypto.subtle.sign("HMAC", key, utf8.encode(normalised)));
  }

  async function open(sealed, maxViews, expiresAt) {
    const kind = { name: "AES-GCM", length: 256 };
    const key = await crypto.subtle.deriveKey(derive(`secretlink/1 enc ${linkId}`), await master(), kind, false, ["decrypt"]);
    const box = fromText(sealed);
    const additionalData = utf8.encode(JSON.stringify(["secretlink/1", linkId, maxViews, expiresAt]));
    const how = { name: "AES-GCM", iv: box.slice(0, 12), additionalData };
    const padded = new Uint8Array(await crypto.subtle.decrypt(how, key, box.slice(12)));
    const length = padded[0] * 256 + padded[1];
    return new TextDecoder().decode(padded.slice(2, 2 + length));
  }

  function forget() {
    token = undefined;
  }

  return { able, check, forget, lookup, open, take };
})();
