"use strict";
// Without this script the page lists every example, in the theme of the system.
(() => {
  const theme = document.getElementById("theme");
  const isDark = () => (document.documentElement.dataset.theme ??
    (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const name = () => { theme.textContent = isDark() ? "Light theme" : "Dark theme"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  name();

  const filter = document.getElementById("filter");
  if (!filter) return;
  const examples = [...document.querySelectorAll(".example")];
  const show = () => {
    const { task, language, differs } = filter.elements;
    let shown = 0;
    for (const example of examples) {
      const about = example.dataset;
      example.hidden = Boolean(
        (task.value && about.task !== task.value) ||
        (language.value && about.language !== language.value) ||
        (differs.checked && about.differs !== "yes"));
      shown += !example.hidden;
    }
    document.getElementById("shown").textContent = `${shown} of ${examples.length} examples`;
  };
  filter.hidden = false;
  filter.addEventListener("input", show);
  filter.addEventListener("submit", (event) => event.preventDefault());
  show();
})();
