// Scripts only improve pages that work without them: no page waits for this file.
import "./copy.js";
import "./dialogs.js";
import "./feedback.js";
import "./forms.js";
import "./live.js";
import "./menus.js";
import "./swaps.js";
import { each } from "./each.js";

each("[data-logs]", () => import("./logs.js"));
each("[data-upload]", () => import("./upload.js"));
each("[data-presence]", () => import("./presence.js"));
each("[data-passkey]", () => import("./passkey.js"));
each("form[data-draft], [data-timeline]", () => import("./composer.js"));
