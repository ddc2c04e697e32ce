// Search over all conversations: type, arrows, Enter. The server does the searching.
import { api } from "./api.js";
import { goTo } from "./conversations.js";
import { shortDate } from "./format.js";
import { html, useEffect, useRef, useState } from "./html.js";
import { Dialog } from "./panels.js";
import { get } from "./store.js";

const PAUSE_MS = 120; // after the last key, before the server is asked

export function SearchPanel() {
  const [query, setQuery] = useState("");
  const [found, setFound] = useState(get().conversations ?? []);
  const [place, setPlace] = useState(0);
  const list = useRef();

  useEffect(() => {
    const controller = new AbortController();
    const ask = async () => {
      try {
        const { data } = await api.search(query.trim(), controller.signal);
        setFound(data);
        setPlace(0);
      } catch (error) {
        if (error.name !== "AbortError") setFound([]);
      }
    };
    const timer = setTimeout(ask, query ? PAUSE_MS : 0);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [query]);
  useEffect(() => list.current?.children[place]?.scrollIntoView({ block: "nearest" }), [place]);

  const onKeyDown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && found.length) {
      event.preventDefault();
      setPlace((place + step + found.length) % found.length);
    } else if (event.key === "Enter" && found[place]) {
      event.preventDefault();
      goTo(found[place].id);
    }
  };
  const at = (index) => `found-${index}`;
  return html`<${Dialog} kind="search" label="Search chats">
    <input autofocus type="text" role="combobox" placeholder="Search chats" aria-label="Search chats"
      aria-expanded="true" aria-controls="found" aria-activedescendant=${found.length ? at(place) : null}
      autocomplete="off" value=${query} onInput=${({ target }) => setQuery(target.value)} onKeyDown=${onKeyDown} />
    ${found.length === 0 && html`<p class="none">${query ? "Nothing found." : "No chats yet."}</p>`}
    <ul id="found" role="listbox" aria-label="Chats found" ref=${list}>
      ${found.map(
        ({ id, title, snippet, updated: time }, index) => html`<li key=${id} id=${at(index)} role="option"
          aria-selected=${index === place} onPointerMove=${() => setPlace(index)} onClick=${() => goTo(id)}>
          <div><span>${title}</span><time>${shortDate(time)}</time></div>
          ${snippet && html`<small>${snippet}</small>`}
        </li>`,
      )}
    </ul>
  <//>`;
}
