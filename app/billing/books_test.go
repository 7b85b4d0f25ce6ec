package billing

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"portico/app"
	"portico/app/db"
	"portico/app/db/dbtest"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var clerk = app.Viewer{Name: "Priya Shah", Role: app.RoleStaff}

// newAccounts makes accounts in a store that charges 25 % at home.
func newAccounts(t testing.TB, pool *pgxpool.Pool, n int) (ids []string) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), "update store set tax_country = 'SE', time_zone = 'Europe/Stockholm', currency = 'SEK'"); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "insert into tax_rates values ('SE', 2500), ('DE', 1900)"); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		var id string
		if err := pool.QueryRow(t.Context(), "insert into accounts (name) values ($1) returning id::text", fmt.Sprintf("Account %d", i)).Scan(&id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// in works on an account's books and fails the test on an error.
func in(t testing.TB, s *Service, accountID string, work func(b *books) error) {
	t.Helper()
	if err := s.within(t.Context(), clerk, accountID, work); err != nil {
		t.Fatal(err)
	}
}

// bill issues an invoice over one line.
func bill(t testing.TB, s *Service, accountID string, net int64) (i Invoice) {
	t.Helper()
	in(t, s, accountID, func(b *books) error {
		id, err := b.draft(t.Context(), Invoice{Kind: KindInvoice, Lines: []Line{{Text: "Work", NetMinor: net}}})
		if err != nil {
			return err
		}
		if i, err = b.issue(t.Context(), id); err != nil {
			return err
		}
		_, err = b.settle(t.Context(), "")
		return err
	})
	i, err := s.invoice(t.Context(), i.ID)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func pay(t testing.TB, s *Service, accountID, key string, amount int64, invoiceID string) {
	t.Helper()
	in(t, s, accountID, func(b *books) error {
		_, _, _, err := b.receive(t.Context(), key, Payment{Method: "bank-transfer", AmountMinor: amount, ReceivedOn: b.today}, invoiceID)
		return err
	})
}

func credit(t testing.TB, s *Service, accountID, invoiceID string) {
	t.Helper()
	in(t, s, accountID, func(b *books) error {
		i, err := lockInvoice(t.Context(), b.tx, invoiceID)
		if err != nil {
			return err
		}
		if _, err = b.credit(t.Context(), i, ""); err != nil {
			return err
		}
		_, err = b.settle(t.Context(), "")
		return err
	})
}

// status reads a document's status and what covers it.
func status(t testing.TB, s *Service, id string) string {
	t.Helper()
	i, err := s.invoice(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %d of %d", i.Status, i.SettledMinor, i.TotalMinor)
}

// sums fails unless the statement, the documents and the balance all say the same.
func sums(t testing.TB, s *Service, accountID string, owed, creditMinor int64) {
	t.Helper()
	wrong, err := mismatches(t.Context(), s.pool)
	if err != nil {
		t.Fatal(err)
	}
	if len(wrong) != 0 {
		t.Errorf("the ledger does not match the documents: %+v", wrong)
	}
	balance, err := balanceOf(t.Context(), s.pool, accountID)
	if err != nil {
		t.Fatal(err)
	}
	if owed >= 0 && (balance != Balance{owed, creditMinor}) {
		t.Errorf("the balance is %+v, want %d owed and %d in credit", balance, owed, creditMinor)
	}
	entries, err := statement(t.Context(), s.pool, accountID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) > 0 && entries[0].BalanceMinor != balance.OwedMinor-balance.CreditMinor {
		t.Errorf("the statement ends at %d, the balance is %+v", entries[0].BalanceMinor, balance)
	}
	var running int64
	for n := len(entries) - 1; n >= 0; n-- {
		if running += entries[n].AmountMinor; entries[n].BalanceMinor != running {
			t.Fatalf("after entry %d the statement says %d, want %d", entries[n].ID, entries[n].BalanceMinor, running)
		}
	}
	page, err := statement(t.Context(), s.pool, accountID, entries[len(entries)/2].ID, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(entries)/2 + 1; len(page) != len(entries)-n || len(page) > 0 && (page[0].ID != entries[n].ID || page[0].BalanceMinor != entries[n].BalanceMinor) {
		t.Errorf("the statement's second page differs from the same lines of the first")
	}
}

// TestBooks: part payment, overpayment, credit and refund add up on one statement.
func TestBooks(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := &Service{pool: pool, now: time.Now}
	account := newAccounts(t, pool, 1)[0]

	first := bill(t, s, account, 1000)
	if first.TotalMinor != 1250 || first.TaxMinor != 250 || first.Name() != "0001" || first.Seller.Country != "SE" {
		t.Fatalf("an invoice over 1000 is %+v", first)
	}
	pay(t, s, account, "a", 500, "")
	sums(t, s, account, 750, 0)
	if got := status(t, s, first.ID); got != "unpaid 500 of 1250" {
		t.Errorf("after a part payment: %s", got)
	}
	pay(t, s, account, "a", 500, "") // the same once more
	sums(t, s, account, 750, 0)
	pay(t, s, account, "b", 1000, "")
	sums(t, s, account, 0, 250)
	if got := status(t, s, first.ID); got != "paid 1250 of 1250" {
		t.Errorf("after an overpayment: %s", got)
	}
	second := bill(t, s, account, 400) // covered in part by what was too much
	if got := status(t, s, second.ID); got != "unpaid 250 of 500" {
		t.Errorf("an invoice with credit there: %s", got)
	}
	sums(t, s, account, 250, 0)
	err := s.within(t.Context(), clerk, account, func(b *books) error { return b.void(t.Context(), mustLock(t, b, second.ID)) })
	if !errors.Is(err, ErrSettled) {
		t.Errorf("void what is paid in part: %v", err)
	}
	credit(t, s, account, first.ID) // and what was paid for it covers the second
	if got := status(t, s, second.ID); got != "paid 500 of 500" {
		t.Errorf("after the first was credited the second is %s", got)
	}
	sums(t, s, account, 0, 1000)
	err = s.within(t.Context(), clerk, account, func(b *books) error {
		_, err := b.refund(t.Context(), "r", Payment{Method: "bank-transfer", AmountMinor: 1001, ReceivedOn: b.today})
		return err
	})
	var invalid *app.Invalid
	if !errors.As(err, &invalid) {
		t.Errorf("refund more than there is: %v", err)
	}
	in(t, s, account, func(b *books) error {
		_, err := b.refund(t.Context(), "r", Payment{Method: "bank-transfer", AmountMinor: 1000, ReceivedOn: b.today})
		return err
	})
	sums(t, s, account, 0, 0)
	third := bill(t, s, account, 100)
	in(t, s, account, func(b *books) error { return b.void(t.Context(), mustLock(t, b, third.ID)) })
	sums(t, s, account, 0, 0)
	if _, err := pool.Exec(t.Context(), "update ledger_entries set amount_minor = 0"); err == nil {
		t.Error("the ledger could be changed")
	}
}

func mustLock(t testing.TB, b *books, id string) Invoice {
	t.Helper()
	i, err := lockInvoice(t.Context(), b.tx, id)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestBooks_AnyOrder does things at random and asks after each whether everything adds up.
func TestBooks_AnyOrder(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := &Service{pool: pool, now: time.Now}
	account := newAccounts(t, pool, 1)[0]
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	invoices := []string{bill(t, s, account, 333).ID}
	for step := range 60 {
		id := invoices[random.IntN(len(invoices))]
		switch random.IntN(5) {
		case 0:
			invoices = append(invoices, bill(t, s, account, 1+random.Int64N(999)).ID)
		case 1, 2:
			pay(t, s, account, fmt.Sprint(step), 1+random.Int64N(800), id)
		case 3: // credit, whole or in part
			in(t, s, account, func(b *books) error {
				i := mustLock(t, b, id)
				if i.Kind != KindInvoice || i.Status != Unpaid && i.Status != Paid {
					return nil
				}
				if random.IntN(2) == 0 {
					_, err := b.credit(t.Context(), i, "")
					return err
				}
				net, _, err := creditedOf(t.Context(), b.tx, i.ID)
				if err != nil || i.NetMinor-net < 2 {
					return err
				}
				note, err := b.draft(t.Context(), Invoice{Kind: KindCreditNote, CreditsID: &i.ID, Lines: []Line{{Text: "Back", NetMinor: -1 - random.Int64N(i.NetMinor-net-1)}}})
				if err != nil {
					return err
				}
				if _, err := b.issue(t.Context(), note); err != nil {
					return err
				}
				_, err = b.settle(t.Context(), i.ID)
				return err
			})
		case 4:
			err := s.within(t.Context(), clerk, account, func(b *books) error {
				_, err := b.refund(t.Context(), fmt.Sprint("r", step), Payment{Method: "cash", AmountMinor: 1 + random.Int64N(300), ReceivedOn: b.today})
				return err
			})
			var invalid *app.Invalid
			if err != nil && !errors.As(err, &invalid) {
				t.Fatal(err)
			}
		}
		sums(t, s, account, -1, 0)
		if t.Failed() {
			t.Fatalf("step %d, seed %d", step, seed)
		}
	}
}

// TestIssue_Gapless: of 60 that issue at once a third give up and a third lose their process before they commit, which to the database is
// a connection that ends: the others have numbers without a gap.
func TestIssue_Gapless(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t)
	s := &Service{pool: pool, now: time.Now}
	accounts := newAccounts(t, pool, 5)
	var group sync.WaitGroup
	giveUp := errors.New("gives up")
	for n := range 60 {
		group.Go(func() {
			err := db.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				b, err := s.open(t.Context(), tx, clerk, accounts[n%5])
				if err != nil {
					return err
				}
				id, err := b.draft(t.Context(), Invoice{Kind: KindInvoice, Lines: []Line{{Text: "Work", NetMinor: 100}}})
				if err != nil {
					return err
				}
				if _, err := b.issue(t.Context(), id); err != nil {
					return err
				}
				switch n % 3 {
				case 1:
					return giveUp
				case 2:
					return tx.Conn().PgConn().Conn().Close()
				}
				return nil
			})
			if (err == nil) != (n%3 == 0) {
				t.Errorf("issue %d: %v", n, err)
			}
		})
	}
	group.Wait()
	var count, highest, distinct int
	if err := pool.QueryRow(t.Context(), "select count(*), max(number), count(distinct number) from invoices where number is not null").Scan(&count, &highest, &distinct); err != nil {
		t.Fatal(err)
	}
	if count != 20 || highest != 20 || distinct != 20 {
		t.Errorf("20 invoices have %d numbers up to %d", distinct, highest)
	}
}
