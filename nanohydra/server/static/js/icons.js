// The few line drawings of the page, 24 units wide, and the wordmark's hydra.
import { html } from "./html.js";

const PATHS = {
  bin: "M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3",
  burger: "M4 7h16M4 12h16M4 17h16",
  chevron: "M7 10l5 5 5-5",
  close: "M6 6l12 12M18 6L6 18",
  down: "M12 5v14M6 13l6 6 6-6",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  learn: "M12 6.5C10 4.8 7 4.3 3.5 4.5V18c3.5-.2 6.5.3 8.5 2 2-1.7 5-2.2 8.5-2V4.5C17 4.3 14 4.8 12 6.5zM12 6.5V20",
  moon: "M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z",
  pencil: "M4 20l1-4L16.5 4.5l3 3L8 19zM14 7l3 3",
  plus: "M12 5v14M5 12h14",
  search: "M11 4a7 7 0 1 1 0 14 7 7 0 0 1 0-14zM16 16l4 4",
  send: "M12 19V5M6 11l6-6 6 6",
  sun: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  system: "M4 5h16v11H4zM9 20h6",
};

export const Icon = ({ name }) =>
  html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${PATHS[name]} /></svg>`;

export const StopIcon = () =>
  html`<svg class="icon stop" viewBox="0 0 24 24" aria-hidden="true"><rect x="6" y="6" width="12" height="12" rx="2.5" /></svg>`;

export const Hydra = () =>
  html`<svg viewBox="0 0 32 32" aria-hidden="true">
    <path d="M16 29V17M16 17C16 10 8 13 7 5M16 17c0-8 0-8 0-13M16 17c0-7 8-4 9-12" />
    <circle cx="7" cy="4.4" r="1.6" /><circle cx="16" cy="3.6" r="1.6" /><circle cx="25" cy="4.4" r="1.6" />
  </svg>`;
