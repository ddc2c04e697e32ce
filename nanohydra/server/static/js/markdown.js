// Markdown to safe DOM nodes. Two locks: raw HTML in an answer is shown as the text that it is, and
// whatever comes out of the markdown parser passes DOMPurify with a short list of allowed tags.
import "../vendor/dompurify.js"; // a classic script: it leaves its name on the window
import { marked } from "../vendor/marked.js";
import { highlight } from "./highlight.js";

const TAGS =
  "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre strong sub sup table tbody td th thead tr ul";
const POLICY = {
  ALLOWED_TAGS: TAGS.split(" "),
  ALLOWED_ATTR: ["href", "title", "class", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

const escape = (text) =>
  text.replace(/[&<>"']/g, (letter) => `&#${letter.codePointAt(0)};`);

marked.use({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escape(text),
    // Pictures would be fetched from elsewhere, which tells elsewhere what is read here.
    image: ({ href, text }) => `<a href="${escape(href)}">${escape(text || href)}</a>`,
    checkbox: ({ checked }) => (checked ? "☑ " : "☐ "),
  },
});

// A fragment to put into the page. `draft` leaves colours out while the text still grows.
export function toNodes(text, draft = false) {
  const nodes = globalThis.DOMPurify.sanitize(marked.parse(text), POLICY);
  for (const link of nodes.querySelectorAll("a")) {
    Object.assign(link, { target: "_blank", rel: "noopener noreferrer" });
  }
  for (const pre of nodes.querySelectorAll("pre")) dress(pre, draft);
  return nodes;
}

// A code block gets its language, a button to copy it, and colours.
function dress(pre, draft) {
  const code = pre.firstElementChild;
  if (!code) return;
  const language = /^language-([\w+#-]+)/.exec(code.className)?.[1] ?? "";
  const name = Object.assign(document.createElement("span"), { textContent: language || "text" });
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
  button.dataset.copy = "code";
  const head = document.createElement("div");
  head.append(name, button);
  const block = Object.assign(document.createElement("div"), { className: "code" });
  pre.replaceWith(block);
  pre.tabIndex = 0; // it may scroll, so the keyboard must reach it
  block.append(head, pre);
  if (!draft && language) highlight(code, language);
}
