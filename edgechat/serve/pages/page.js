// Runs before the terminal's own script, which starts when the page has loaded and reads these attributes.
const terminal = document.getElementById("terminal");
terminal.dataset.sessionWebsocketUrl = location.origin.replace(/^http/, "ws") + "/ws";
const size = Number(new URLSearchParams(location.search).get("fontsize"));
if (size >= 6 && size <= 60) terminal.dataset.fontSize = String(size);
// The grid is measured with the font: it must be there before.
document.fonts.load('16px "Roboto Mono"');
// Keys go to the app from the start: nobody should have to reach for a mouse.
function focus() {
  const field = document.querySelector(".xterm-helper-textarea");
  if (field) field.focus();
  else requestAnimationFrame(focus);
}
focus();
