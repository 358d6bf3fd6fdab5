// The theme's arrows that open a chapter in the sidebar have no name for a screen reader.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".bd-sidenav li.has-children").forEach((entry) => {
    const chapter = entry.querySelector("a").textContent.trim();
    entry.querySelector("summary").setAttribute("aria-label", `Pages of ${chapter}`);
  });
});
