#!/bin/sh
# Fetches what is vendored, at the versions below, and writes VENDORED.md and LICENSES.txt. Run it after changing a version or
# icons.txt; nothing else changes when it runs again. With --check it only compares the files with VENDORED.md.
set -eu
cd "$(dirname "$0")/../.."

htmx=htmx.org@2.0.11
inter=@fontsource-variable/inter@5.3.0
lucide=lucide-static@1.62.0
axe=axe-core@4.14.1
subset=subset-font@2.9.0 # a tool: nothing of it is vendored

vendor=static/vendor
tests=cmd/portico/testdata

if [ "${1:-}" = --check ]; then
	sed -n 's/^| `\([^`]*\)` |.*| `\([0-9a-f]\{64\}\)` |$/\2  \1/p' $vendor/VENDORED.md | sha256sum --check --quiet --strict
	exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack PACKAGE FOLDER
unpack() {
	mkdir -p "$work/$2"
	tar -xzf "$work/$(cd "$work" && npm pack --silent "$1")" -C "$work/$2" --strip-components=1
}
unpack $htmx htmx
unpack $inter inter
unpack $lucide lucide
unpack $axe axe

mkdir -p $tests
cp "$work/htmx/dist/htmx.min.js" $vendor/htmx.min.js
npm install --silent --no-save --prefix "$work/tools" $subset
# Of Inter the weights 400 to 700 alone, which the stylesheet uses: every first view of a page fetches the font. All glyphs and
# features stay, and so do the names 13 and 14, its licence.
for part in latin latin-ext; do
	NODE_PATH="$work/tools/node_modules" node -e '
		const [from, to] = process.argv.slice(1), fs = require("fs");
		require("subset-font")(fs.readFileSync(from), null, {
			targetFormat: "woff2", keepAllGlyphs: true, preserveNameIds: [13, 14], variationAxes: { wght: { min: 400, max: 700 } },
		}).then((font) => fs.writeFileSync(to, font));
	' "$work/inter/files/inter-$part-wght-normal.woff2" "$vendor/inter-$part.woff2"
done
cp "$work/axe/axe.min.js" $tests/axe.min.js
chmod 644 $vendor/*.js $vendor/*.woff2 $tests/axe.min.js

# One sprite of the icons that the portal uses.
{
	echo '<svg xmlns="http://www.w3.org/2000/svg">'
	echo "<!-- Lucide ($lucide), ISC License, parts MIT: see LICENSES.txt -->"
	while read -r name; do
		shapes=$(tr '\n' ' ' <"$work/lucide/icons/$name.svg" |
			sed -E 's/<!--[^>]*-->//; s/<svg[^>]*>//; s#</svg>##; s# */>#/>#g; s/> +</></g; s/^ +//; s/ +$//')
		echo "<symbol id=\"$name\" viewBox=\"0 0 24 24\">$shapes</symbol>"
	done <$vendor/icons.txt
	echo '</svg>'
} >$vendor/icons.svg

{
	echo 'Inter (inter-latin.woff2, inter-latin-ext.woff2)'
	echo
	cat "$work/inter/LICENSE"
	printf '\n%s\n\n' '================================================================================'
	echo 'Lucide (icons.svg)'
	echo
	cat "$work/lucide/LICENSE"
	printf '\n%s\n\n' '================================================================================'
	echo 'htmx (htmx.min.js)'
	echo
	cat "$work/htmx/LICENSE"
} >$vendor/LICENSES.txt

# row FILE PACKAGE LICENCE
row() {
	echo "| \`$1\` | \`$2\` | $3 | \`$(sha256sum "$1" | cut -d' ' -f1)\` |"
}
{
	echo '# Vendored files'
	echo
	echo 'Copied as they are from npm packages; the sprite is put together from single icons, and the fonts keep the weights from'
	echo '400 to 700. Written by `update.sh`, which pins the versions; `update.sh --check` compares the files with the sums below.'
	echo 'Licences: `LICENSES.txt`.'
	echo
	echo '| file | package | licence | SHA-256 |'
	echo '| --- | --- | --- | --- |'
	row $vendor/htmx.min.js $htmx 0BSD
	row $vendor/inter-latin.woff2 $inter 'SIL OFL 1.1'
	row $vendor/inter-latin-ext.woff2 $inter 'SIL OFL 1.1'
	row $vendor/icons.svg $lucide 'ISC, parts MIT'
	row $tests/axe.min.js $axe 'MPL 2.0, tests only'
} >$vendor/VENDORED.md
