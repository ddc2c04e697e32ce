// What lies over the page: the frame of a dialog, the menu of a conversation, and short notices.
import { exportOne, remove } from "./conversations.js";
import { html, useEffect, useLayoutEffect, useRef } from "./html.js";
import { Icon } from "./icons.js";
import { get, set } from "./store.js";

const NOTICE_MS = 9000;

const closePanel = () => set({ panel: null });

// A modal dialog: the browser keeps the focus inside, closes it on Esc and gives the focus back.
export function Dialog({ kind, label, children }) {
  const place = useRef();
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = place.current;
    dialog.showModal();
    // Closed by Esc, the browser has given the focus back, and the person may have moved it on.
    return () => dialog.open && before?.focus();
  }, []);
  const onClick = ({ target }) => target === place.current && closePanel();
  return html`<dialog ref=${place} class=${kind} aria-label=${label} onClose=${closePanel} onClick=${onClick}>
    ${children}
  </dialog>`;
}

export const DialogHead = ({ title }) =>
  html`<header>
    <h2>${title}</h2>
    <button type="button" aria-label="Close" onClick=${closePanel}><${Icon} name="close" /></button>
  </header>`;

// The menu of one conversation: arrows move, Esc and a click elsewhere close.
export function Menu({ menu }) {
  const place = useRef();
  const close = () => set({ menu: null });
  useLayoutEffect(() => {
    const { style, offsetWidth, offsetHeight } = place.current;
    style.left = `${Math.max(8, Math.min(menu.x - 24, innerWidth - offsetWidth - 8))}px`;
    style.top = `${Math.min(menu.y + 4, innerHeight - offsetHeight - 8)}px`;
    const before = document.activeElement;
    place.current.querySelector("button").focus();
    const onDown = ({ target }) => place.current?.contains(target) || close();
    addEventListener("pointerdown", onDown);
    return () => {
      removeEventListener("pointerdown", onDown);
      if (get().renaming === null) before?.focus();
    };
  }, [menu]);
  const onKeyDown = (event) => {
    if (event.key === "Escape" || event.key === "Tab") {
      event.stopPropagation();
      event.preventDefault();
      return close();
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const items = [...place.current.querySelectorAll("button")];
    items.at((items.indexOf(document.activeElement) + step) % items.length).focus();
  };
  const pick = (action) => () => {
    set({ menu: null });
    action(menu.id);
  };
  return html`<div class="menu" role="menu" aria-label="Chat" ref=${place} onKeyDown=${onKeyDown}>
    <button role="menuitem" onClick=${() => set({ renaming: menu.id, menu: null })}><${Icon} name="pencil" />Rename</button>
    <button role="menuitem" onClick=${pick(exportOne)}><${Icon} name="download" />Export</button>
    <button role="menuitem" class="danger" onClick=${pick(remove)}><${Icon} name="bin" />Delete</button>
  </div>`;
}

export function Notice({ notice }) {
  const close = () => set({ notice: null });
  useEffect(() => {
    const timer = setTimeout(close, NOTICE_MS);
    return () => clearTimeout(timer);
  }, [notice]);
  const act = () => {
    close();
    notice.action();
  };
  return html`<div class="notice" role="status">
    <span>${notice.text}</span>
    ${notice.action && html`<button onClick=${act}>${notice.label}</button>`}
  </div>`;
}
