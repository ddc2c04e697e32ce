// The left column: new chat, search, conversations by day, and what concerns all of them.
import { goTo, importFile, exportAll, rename } from "./conversations.js";
import { byDay } from "./format.js";
import { html, useLayoutEffect, useRef } from "./html.js";
import { Hydra, Icon } from "./icons.js";
import { get, recall, remember, set } from "./store.js";

export const MOD = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl ";

function Row({ conversation, on, renaming }) {
  const { id, title } = conversation;
  if (renaming) return html`<${Rename} conversation=${conversation} />`;
  const openMenu = (event) => {
    const { right, bottom } = event.currentTarget.getBoundingClientRect();
    set({ menu: { id, x: right, y: bottom } });
  };
  return html`<li class=${`conv ${on ? "on" : ""}`}>
    <a href=${`#/c/${id}`} title=${title} aria-current=${on ? "page" : null}
      onClick=${() => set({ drawer: false })}
      onDblClick=${() => set({ renaming: id })}>${title}</a>
    <button aria-label=${`Options for ${title}`} aria-haspopup="menu" onClick=${openMenu}><${Icon} name="dots" /></button>
  </li>`;
}

function Rename({ conversation }) {
  const field = useRef();
  useLayoutEffect(() => field.current.select(), []);
  // Once: the field also loses the focus when it goes away.
  const finish = ({ target }) => get().renaming === conversation.id && rename(conversation.id, target.value);
  const onKeyDown = (event) => {
    if (event.key === "Enter") finish(event);
    if (event.key === "Escape") {
      event.stopPropagation();
      set({ renaming: null });
    }
  };
  return html`<li class="conv">
    <input ref=${field} aria-label="New name" value=${conversation.title} onKeyDown=${onKeyDown} onBlur=${finish} />
  </li>`;
}

function List({ state }) {
  if (state.conversations === null) return null;
  if (state.conversations.length === 0) return html`<p class="none">Your chats will be here.</p>`;
  return byDay(state.conversations).map(
    ({ day, conversations }) => html`<section key=${day} aria-label=${day}>
      <h2>${day}</h2>
      <ul>
        ${conversations.map(
          (conversation) => html`<${Row} key=${conversation.id} conversation=${conversation}
            on=${conversation.id === state.current} renaming=${conversation.id === state.renaming} />`,
        )}
      </ul>
    </section>`,
  );
}

const THEMES = [
  [null, "system", "Theme: as the system"],
  ["light", "sun", "Theme: light"],
  ["dark", "moon", "Theme: dark"],
];

function ThemeButton() {
  const chosen = recall("theme", null);
  const place = Math.max(0, THEMES.findIndex(([theme]) => theme === chosen));
  const [, icon, label] = THEMES[place];
  const next = () => {
    const [theme] = THEMES[(place + 1) % THEMES.length];
    remember("theme", theme);
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    set({});
  };
  return html`<button class="theme" aria-label=${label} title=${label} onClick=${next}><${Icon} name=${icon} /></button>`;
}

export function Side({ state }) {
  const file = useRef();
  useLayoutEffect(() => {
    if (!state.drawer) return;
    document.querySelector(".new").focus();
    return () => document.querySelector(".burger").focus();
  }, [state.drawer]);
  const onFile = async ({ target }) => {
    if (target.files[0]) await importFile(target.files[0]);
    target.value = "";
  };
  return html`<nav id="side" class=${`side ${state.drawer ? "open" : ""}`} aria-label="Chats">
    <h1 class="brand"><${Hydra} />nanohydra</h1>
    <button class="new" onClick=${() => goTo(null)}><${Icon} name="plus" />New chat</button>
    <button class="find" aria-haspopup="dialog" onClick=${() => set({ panel: "search" })}>
      <${Icon} name="search" />Search<kbd>${MOD}K</kbd>
    </button>
    <div class="list"><${List} state=${state} /></div>
    <div class="base">
      <button onClick=${() => file.current.click()}>Import</button>
      <button onClick=${exportAll} disabled=${!state.conversations?.length}>Export</button>
      <input ref=${file} type="file" accept=".json,application/json" hidden aria-label="File to import" onChange=${onFile} />
      <${ThemeButton} />
    </div>
  </nav>`;
}
