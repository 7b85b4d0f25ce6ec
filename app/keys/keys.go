// Package keys derives everything secret from the one variable PORTICO_SECRET_KEY: a sub-key per purpose by HKDF-SHA-256
// (RFC 5869), so that no key serves two ends. The variable may list several keys: the first seals and signs, all of them
// open and verify, which is how a key is rotated.
package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MinLength is the shortest acceptable key in bytes of text.
const MinLength = 32

// ErrSealed means that a sealed value can't be opened with any known key for this purpose and object.
var ErrSealed = errors.New("sealed value can't be opened with the keys at hand")

// Ring holds the keys, newest first. Safe for concurrent use.
type Ring struct {
	roots [][]byte
}

// Parse reads the value of PORTICO_SECRET_KEY: one or more keys of at least MinLength characters, separated by commas.
func Parse(list string) (*Ring, error) {
	var ring Ring
	for _, key := range strings.Split(list, ",") {
		key = strings.TrimSpace(key)
		if len(key) < MinLength {
			return nil, fmt.Errorf("each key needs at least %d characters", MinLength)
		}
		ring.roots = append(ring.roots, []byte(key))
	}
	return &ring, nil
}

// Generate makes a fresh random key in the form that Parse reads.
func Generate() string { return base64.RawURLEncoding.EncodeToString(Random(32)) }

// Random returns n bytes from the system's random source, which never fails on supported systems.
func Random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (r *Ring) sub(root []byte, purpose string) []byte {
	key, err := hkdf.Key(sha256.New, root, nil, "portico/"+purpose, 32)
	if err != nil {
		panic(err) // only for lengths that SHA-256 can't give
	}
	return key
}

// MAC signs parts for a purpose with the newest key. Parts are length-framed: moving a boundary changes the MAC.
func (r *Ring) MAC(purpose string, parts ...string) []byte { return r.mac(r.roots[0], purpose, parts) }

func (r *Ring) mac(root []byte, purpose string, parts []string) []byte {
	h := hmac.New(sha256.New, r.sub(root, purpose))
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return h.Sum(nil)
}

// MACs returns the MAC under every key, newest first, for finding which one made a stored value.
func (r *Ring) MACs(purpose string, parts ...string) [][]byte {
	var all [][]byte
	for _, root := range r.roots {
		all = append(all, r.mac(root, purpose, parts))
	}
	return all
}

// Verify tells in constant time whether any key made this MAC.
func (r *Ring) Verify(mac []byte, purpose string, parts ...string) bool {
	ok := false
	for _, want := range r.MACs(purpose, parts...) {
		if hmac.Equal(mac, want) {
			ok = true
		}
	}
	return ok
}

// Seal encrypts plain with AES-256-GCM for one purpose and one object: a value sealed for one row can't be opened as
// another's.
func (r *Ring) Seal(purpose, object string, plain []byte) []byte {
	aead := r.aead(r.roots[0], purpose)
	return aead.Seal(nil, nil, plain, []byte(object))
}

// Open decrypts what Seal made, or returns ErrSealed.
func (r *Ring) Open(purpose, object string, sealed []byte) ([]byte, error) {
	for _, root := range r.roots {
		if plain, err := r.aead(root, purpose).Open(nil, nil, sealed, []byte(object)); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("open %s of %s: %w", purpose, object, ErrSealed)
}

// Reseal encrypts with the newest key what any of the keys opens. Returns ErrSealed for what none does.
func (r *Ring) Reseal(purpose, object string, sealed []byte) ([]byte, error) {
	plain, err := r.Open(purpose, object, sealed)
	if err != nil {
		return nil, err
	}
	return r.Seal(purpose, object, plain), nil
}

// The secret of a one-time link is the MAC of its row's id: it can be made again when the mail is sent, and the database
// holds only its hash.
const linkPurpose = "one-time link"

// LinkSecret returns the secret of a new one-time link, 43 URL-safe characters (256 bits), and the hash to store.
func (r *Ring) LinkSecret(id string) (secret string, hash []byte) {
	secret = base64.RawURLEncoding.EncodeToString(r.MAC(linkPurpose, id))
	return secret, LinkHash(secret)
}

// LinkSecretFor makes the secret of a stored link again, under whichever key its hash fits. Returns ErrSealed if none does.
func (r *Ring) LinkSecretFor(id string, hash []byte) (string, error) {
	for _, mac := range r.MACs(linkPurpose, id) {
		secret := base64.RawURLEncoding.EncodeToString(mac)
		if hmac.Equal(LinkHash(secret), hash) {
			return secret, nil
		}
	}
	return "", fmt.Errorf("derive link %s: %w", id, ErrSealed)
}

// Mask turns a countable number of somebody else's table into an id for addresses: 32 hexadecimal digits that tell nothing
// of the number or its neighbours. It is one block of AES under a sub-key, so the same number has the same id.
func (r *Ring) Mask(purpose string, number int64) string {
	var block [aes.BlockSize]byte
	binary.BigEndian.PutUint64(block[8:], uint64(number))
	r.block(r.roots[0], purpose).Encrypt(block[:], block[:])
	return hex.EncodeToString(block[:])
}

// Unmask returns the number of an id, or ok false for anything that Mask did not make.
func (r *Ring) Unmask(purpose, id string) (number int64, ok bool) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != aes.BlockSize {
		return 0, false
	}
	for _, root := range r.roots {
		var plain [aes.BlockSize]byte
		r.block(root, purpose).Decrypt(plain[:], raw)
		if binary.BigEndian.Uint64(plain[:8]) == 0 {
			return int64(binary.BigEndian.Uint64(plain[8:])), true
		}
	}
	return 0, false
}

func (r *Ring) block(root []byte, purpose string) cipher.Block {
	block, err := aes.NewCipher(r.sub(root, "mask/"+purpose))
	if err != nil {
		panic(err) // only for a wrong key length
	}
	return block
}

// LinkHash is what the database stores of a link's or a session's secret.
func LinkHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func (r *Ring) aead(root []byte, purpose string) cipher.AEAD {
	block, err := aes.NewCipher(r.sub(root, "seal/"+purpose))
	if err != nil {
		panic(err) // only for a wrong key length
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return aead
}
