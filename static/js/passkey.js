// Passkeys: a button with data-passkey runs one WebAuthn ceremony. Source: W3C Web Authentication Level 3.
//
//   data-passkey      "register", "sign-in" or "second-factor"
//   data-options-url  POST answers {"ceremony": id, "options": {"publicKey": {…}}}
//   data-finish-url   POST takes {"ceremony", "name", "next", "credential"}, answers {"redirect": path} or {"error": text}
//   data-name         selector of the input with the new passkey's name (register)
//   data-next         where to go after signing in
//
// The text of an error goes into the [data-passkey-error] in the same form or section; where the browser or the person ended
// it, that is the frame's sentence for it. Buttons are hidden until it is known
// that the browser can do it.
import { each } from "./each.js";

// The form token stands on every page's body, for htmx; a page with a passkey alone has no form.
const token = () => JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRF-Token"];

async function post(url, body) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json", "X-CSRF-Token": token() },
    body: JSON.stringify(body),
  });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok && !answer.error) throw new Error(String(response.status));
  return answer;
}

const decode = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const encode = (bytes) =>
  bytes
    ? btoa(String.fromCharCode(...new Uint8Array(bytes)))
        .replace(/\+/g, "-")
        .replace(/\//g, "_")
        .replace(/=+$/, "")
    : undefined;

// The conversions below are the browser's own where it has them (Chrome 129, Firefox 119, Safari 18.4).
function creationOptions(json) {
  if (PublicKeyCredential.parseCreationOptionsFromJSON) return PublicKeyCredential.parseCreationOptionsFromJSON(json);
  return {
    ...json,
    challenge: decode(json.challenge),
    user: { ...json.user, id: decode(json.user.id) },
    excludeCredentials: (json.excludeCredentials ?? []).map((c) => ({ ...c, id: decode(c.id) })),
  };
}

function requestOptions(json) {
  if (PublicKeyCredential.parseRequestOptionsFromJSON) return PublicKeyCredential.parseRequestOptionsFromJSON(json);
  return {
    ...json,
    challenge: decode(json.challenge),
    allowCredentials: (json.allowCredentials ?? []).map((c) => ({ ...c, id: decode(c.id) })),
  };
}

function toJSON(credential) {
  if (credential.toJSON) return credential.toJSON();
  const { response } = credential;
  return {
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      clientDataJSON: encode(response.clientDataJSON),
      attestationObject: encode(response.attestationObject),
      transports: response.getTransports?.(),
      authenticatorData: encode(response.authenticatorData),
      signature: encode(response.signature),
      userHandle: encode(response.userHandle),
    },
  };
}

async function run(button) {
  const { passkey, optionsUrl, finishUrl, name, next } = button.dataset;
  const place = (button.closest("form, section") ?? document).querySelector("[data-passkey-error]");
  const failed = document.getElementById("announcer").dataset.passkeyFailed;
  const tell = (text) => {
    if (!place) return;
    place.textContent = text;
    place.hidden = text === "";
  };
  tell("");
  button.setAttribute("aria-busy", "true");
  try {
    const start = await post(optionsUrl, {});
    if (start.redirect) return location.assign(start.redirect);
    if (start.error) return tell(start.error);
    const json = start.options.publicKey ?? start.options;
    const credential =
      passkey === "register"
        ? await navigator.credentials.create({ publicKey: creationOptions(json) })
        : await navigator.credentials.get({ publicKey: requestOptions(json) });
    const end = await post(finishUrl, {
      ceremony: start.ceremony,
      name: name ? document.querySelector(name)?.value : undefined,
      next,
      credential: toJSON(credential),
    });
    if (end.redirect) return location.assign(end.redirect);
    tell(end.error ?? failed);
  } catch {
    tell(failed);
  } finally {
    button.removeAttribute("aria-busy");
  }
}

if (window.PublicKeyCredential) {
  each("[data-passkey]", (button) => {
    button.hidden = false;
    button.addEventListener("click", () => run(button));
  });
}
