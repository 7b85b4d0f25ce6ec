// A link with data-dialog="ID" opens that dialog instead of the page it leads to. Closing gives the focus back by itself.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    const elsewhere = event.ctrlKey || event.metaKey || event.shiftKey;
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog && !elsewhere) {
      event.preventDefault();
      opener.closest("[popover]")?.hidePopover();
      dialog.showModal();
    }
    return;
  }
  event.target.closest("[data-close]")?.closest("dialog")?.close();
});

// Browsers without closedby="any": a click beside the dialog closes it.
if (!("closedBy" in HTMLDialogElement.prototype)) {
  document.addEventListener("click", (event) => {
    const dialog = event.target;
    if (!(dialog instanceof HTMLDialogElement) || !dialog.open) return;
    const box = dialog.getBoundingClientRect();
    const inside = event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
    if (!inside) dialog.close();
  });
}
