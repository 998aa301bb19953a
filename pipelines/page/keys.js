// One key, one click of the button that has the key's name. A key that is held or pressed again before the page has drawn the
// next prompt does nothing: nobody decides on a prompt that they haven't seen.
(() => {
  const buttons = { a: "accept", r: "reject", u: "undo", ArrowLeft: "previous", ArrowRight: "next" };
  const turn = () => document.getElementById("card")?.dataset.turn;
  let pressedAt = { turn: undefined, time: 0 };

  const click = (id) => {
    if (pressedAt.turn === turn() && Date.now() - pressedAt.time < 10000) return;
    pressedAt = { turn: turn(), time: Date.now() };
    document.getElementById(id)?.click();
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("textarea, input:not([type=checkbox]), [contenteditable]");
    if (typing) {
      if (event.key === "Escape") event.target.blur();
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("#edited")) {
        event.preventDefault();
        document.getElementById("save")?.click();
      }
      return;
    }
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || !turn()) return;
    if (event.key === "e") {
      const field = document.querySelector("#edited textarea");
      field.focus();
      field.setSelectionRange(field.value.length, field.value.length);
    } else if (event.key in buttons) {
      click(buttons[event.key]);
    } else {
      return;
    }
    event.preventDefault();
  });
})();
