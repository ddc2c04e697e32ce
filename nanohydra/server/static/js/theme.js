// Applies the chosen theme before the first paint. A classic script, because modules run later.
try {
  const theme = JSON.parse(localStorage.getItem("nanohydra.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is off or holds nonsense: the page follows the system.
}
