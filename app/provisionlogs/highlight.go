package provisionlogs

import (
	"strings"
	"unicode"
)

// Piece is a part of a text; Mark is for what was looked for.
type Piece struct {
	Text string
	Mark bool
}

// highlight divides a text at the words that begin with one of what was looked for.
func highlight(text string, looked []string) []Piece {
	if len(looked) == 0 || text == "" {
		return []Piece{{Text: text}}
	}
	var pieces []Piece
	plain := 0
	runes := []rune(text)
	for at := 0; at < len(runes); at++ {
		if !wordRune(runes[at]) || at > 0 && wordRune(runes[at-1]) {
			continue
		}
		length := 0
		for _, word := range looked {
			n := len([]rune(word))
			if n > length && at+n <= len(runes) && strings.EqualFold(string(runes[at:at+n]), word) {
				length = n
			}
		}
		if length == 0 {
			continue
		}
		if at > plain {
			pieces = append(pieces, Piece{Text: string(runes[plain:at])})
		}
		pieces = append(pieces, Piece{string(runes[at : at+length]), true})
		plain = at + length
		at = plain - 1
	}
	if plain < len(runes) {
		pieces = append(pieces, Piece{Text: string(runes[plain:])})
	}
	return pieces
}

func wordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// lookedFor are the words of a filter's text, as highlight wants them.
func lookedFor(text string) []string {
	var words []string
	for _, t := range terms(text) {
		words = append(words, strings.FieldsFunc(t.text, func(r rune) bool { return !wordRune(r) })...)
	}
	return words
}
