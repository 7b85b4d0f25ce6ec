// Runs setup once for every element that matches, now and whenever htmx brings new ones.
export function each(selector, setup) {
  const visit = (root) => {
    if (root.matches(selector)) setup(root);
    root.querySelectorAll(selector).forEach(setup);
  };
  visit(document.documentElement);
  document.addEventListener("htmx:load", (event) => {
    if (event.target !== document.body) visit(event.target);
  });
}
