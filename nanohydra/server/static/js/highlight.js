// Colours for code. The library and each language are fetched when the first such block appears.
const ALIASES = {
  "c++": "cpp", h: "c", html: "xml", js: "javascript", jsx: "javascript", json5: "json",
  md: "markdown", py: "python", rs: "rust", sh: "bash", shell: "bash", console: "bash", svg: "xml",
  toml: "ini", ts: "typescript", tsx: "typescript", yml: "yaml", patch: "diff", golang: "go",
};
const KNOWN = new Set(
  ("bash c cpp css diff go ini java javascript json markdown python rust sql typescript xml yaml").split(" "),
);
let library = null;
const loading = new Map();

async function load(language) {
  library ??= import("../vendor/highlight/core.js").then((module) => module.default);
  const core = await library;
  if (!loading.has(language)) {
    const arriving = import(`../vendor/highlight/${language}.js`).then((module) =>
      core.registerLanguage(language, module.default),
    );
    loading.set(language, arriving);
  }
  await loading.get(language);
  return core;
}

// Colours one <code> element in place. An unknown language stays as it is.
export async function highlight(code, name) {
  const language = ALIASES[name.toLowerCase()] ?? name.toLowerCase();
  if (!KNOWN.has(language)) return;
  try {
    const core = await load(language);
    const { value } = core.highlight(code.textContent, { language, ignoreIllegals: true });
    const policy = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
    code.replaceChildren(globalThis.DOMPurify.sanitize(value, policy));
  } catch (error) {
    console.warn("no colours for", language, error);
  }
}
