package contracts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"portico/app"
	"portico/app/access"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/live"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// StatusHook acts on a change of status in its transaction. item is as it was before, with every product that changes; from and to are
// the contract's statuses, or the one-off purchase's. A product that is added to an active contract goes from Pending to Active alone.
// An error undoes the change.
type StatusHook func(ctx context.Context, tx pgx.Tx, v app.Viewer, item Item, from, to string) error

// Service knows contracts. Safe for concurrent use once hooks and tabs are set.
type Service struct {
	pool  *pgxpool.Pool
	mail  *mail.Service
	hooks []StatusHook
	tabs  []Tab
}

// NewService returns a Service, and tells mails who may get those about contracts.
func NewService(pool *pgxpool.Pool, mails *mail.Service) *Service {
	s := &Service{pool: pool, mail: mails, tabs: []Tab{{Name: "overview", Position: 1}}}
	mails.Ask("contract-status", s.askMail)
	return s
}

// OnStatus adds a hook. Call it before the portal serves.
func (s *Service) OnStatus(hook StatusHook) { s.hooks = append(s.hooks, hook) }

// pageSize is how many contracts a page of a list has.
const pageSize = 25

// Subscriptions returns a page of the contracts that the viewer sees as an account holder, their accounts' and those they are a
// delegate of, newest first, and the key of the next page: nil on the last one.
func (s *Service) Subscriptions(ctx context.Context, v app.Viewer, after app.Key) (page []Row, next *app.Key, err error) {
	if err := access.Check(v, "products", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = subscriptions(ctx, s.pool, v.UserID, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list subscriptions: %w", err)
	}
	page, next = cut(page, func(r Row) app.Key { return app.Key{At: r.Since, ID: r.ID} })
	return page, next, nil
}

// Purchases is Subscriptions for the one-off purchases of the viewer's accounts.
func (s *Service) Purchases(ctx context.Context, v app.Viewer, after app.Key) (page []Product, next *app.Key, err error) {
	if err := access.Check(v, "products", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = purchases(ctx, s.pool, v.UserID, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list one-off purchases: %w", err)
	}
	page, next = cut(page, func(p Product) app.Key { return app.Key{At: p.CreatedAt, ID: p.ID} })
	return page, next, nil
}

// cut takes a page from what was read, which may be one row more.
func cut[T any](rows []T, key func(T) app.Key) ([]T, *app.Key) {
	if len(rows) <= pageSize {
		return rows, nil
	}
	next := key(rows[pageSize-1])
	return rows[:pageSize], &next
}

// Products lists up to limit of the viewer's products that are not over, in the order of Subscriptions, for dashboards.
func (s *Service) Products(ctx context.Context, v app.Viewer, limit int) ([]Product, error) {
	if err := access.Check(v, "products", "view"); err != nil {
		return nil, err
	}
	products, err := productsFor(ctx, s.pool, v.UserID, limit)
	if err != nil {
		return nil, fmt.Errorf("list products: %w", err)
	}
	return products, nil
}

// maxCount is up to how many things the left menu counts.
const maxCount = 1000

// Counts is how many contracts and one-off purchases the viewer sees, up to maxCount each.
func (s *Service) Counts(ctx context.Context, v app.Viewer) (contracts, purchases int, err error) {
	if err := access.Check(v, "products", "view"); err != nil {
		return 0, 0, err
	}
	if contracts, purchases, err = counts(ctx, s.pool, v.UserID, maxCount); err != nil {
		return 0, 0, fmt.Errorf("count contracts: %w", err)
	}
	return contracts, purchases, nil
}

// Topics are those of the viewer's lists of contracts and purchases.
func (s *Service) Topics(ctx context.Context, v app.Viewer) ([]string, error) {
	accounts, err := belongings(ctx, s.pool, v.UserID)
	if err != nil {
		return nil, fmt.Errorf("list own accounts: %w", err)
	}
	topics := []string{TopicOfDelegate(v.UserID)}
	for _, id := range accounts {
		topics = append(topics, TopicOfAccount(id))
	}
	return topics, nil
}

// Triggers writes topics for hx-trigger.
func Triggers(topics []string) string {
	triggers := make([]string, len(topics))
	for i, topic := range topics {
		triggers[i] = "live:" + topic + " from:body"
	}
	return strings.Join(triggers, ", ")
}

// Get returns a contract, or app.ErrNotFound to a stranger.
func (s *Service) Get(ctx context.Context, v app.Viewer, id string) (Contract, error) {
	if err := check(v); err != nil {
		return Contract{}, err
	}
	c, err := contractByID(ctx, s.pool, v.UserID, id)
	if err != nil {
		return Contract{}, fmt.Errorf("read contract %s: %w", id, err)
	}
	return c, allow(c.Access, "view")
}

// check asks whether the viewer may use pages of contracts at all.
func check(v app.Viewer) error {
	if v.OfStore() {
		return access.Check(v, "clients", "view")
	}
	return access.Check(v, "products", "view")
}

// allow asks the policy about one contract that the viewer sees.
func allow(a Access, action string) error {
	if !a.Allows(action) {
		return app.ErrForbidden
	}
	return nil
}

// Item returns a contract with its products, of which productID is the one shown: "" for the first. Returns app.ErrNotFound to a
// stranger, and for a product that is not the contract's.
func (s *Service) Item(ctx context.Context, v app.Viewer, contractID, productID string) (Item, error) {
	c, err := s.Get(ctx, v, contractID)
	if err != nil {
		return Item{}, err
	}
	return itemOf(ctx, s.pool, v.UserID, c, productID)
}

func itemOf(ctx context.Context, conn db.Conn, userID string, c Contract, productID string) (Item, error) {
	products, err := productsOf(ctx, conn, userID, c.ID)
	if err != nil {
		return Item{}, fmt.Errorf("read the products of %s: %w", c, err)
	}
	if len(products) == 0 {
		return Item{}, fmt.Errorf("read the products of %s: %w", c, app.ErrNotFound)
	}
	shown := 0
	if productID != "" {
		if shown = slices.IndexFunc(products, func(p Product) bool { return p.ID == productID }); shown < 0 {
			return Item{}, fmt.Errorf("show product %s of %s: %w", productID, c, app.ErrNotFound)
		}
	}
	return Item{Contract: &c, Products: products, Product: products[shown]}, nil
}

// Purchase returns a one-off purchase. Returns app.ErrNotFound to a stranger, and for a product of a contract.
func (s *Service) Purchase(ctx context.Context, v app.Viewer, id string) (Item, error) {
	p, err := s.Product(ctx, v, id)
	if err != nil {
		return Item{}, err
	}
	if p.ContractID != nil {
		return Item{}, fmt.Errorf("read the one-off purchase %s: %w", id, app.ErrNotFound)
	}
	return Item{Products: []Product{p}, Product: p}, nil
}

// Product returns a bought product, of a contract or a one-off purchase, or app.ErrNotFound to a stranger.
func (s *Service) Product(ctx context.Context, v app.Viewer, id string) (Product, error) {
	if err := check(v); err != nil {
		return Product{}, err
	}
	p, err := productByID(ctx, s.pool, v.UserID, id)
	if err != nil {
		return Product{}, fmt.Errorf("read product %s: %w", id, err)
	}
	return p, allow(p.Access, "products")
}

// ProductFor is Product in a transaction and without asking who the viewer is to pages, for jobs: userID's access to the product as it
// is then. The product and its contract are locked.
func ProductFor(ctx context.Context, tx pgx.Tx, userID, id string) (Product, error) {
	return lockProduct(ctx, tx, userID, id)
}

// Sees returns app.ErrNotFound if a user sees no such contract, as things are now. It is what streams ask.
func (s *Service) Sees(ctx context.Context, userID, id string) error {
	_, err := contractByID(ctx, s.pool, userID, id)
	return err
}

// SeesProduct is Sees for a bought product.
func (s *Service) SeesProduct(ctx context.Context, userID, id string) error {
	_, err := productByID(ctx, s.pool, userID, id)
	return err
}

// Events lists what happened to a contract or a purchase and the viewer may know of, newest first.
func (s *Service) Events(ctx context.Context, i Item) ([]Event, error) {
	hidden := []string{}
	if !i.Allows("delegates_view") {
		hidden = append(hidden, "delegate-")
	}
	if !i.Allows("billing") {
		hidden = append(hidden, "billing-")
	}
	events, err := eventsOf(ctx, s.pool, i, hidden, 100)
	if err != nil {
		return nil, fmt.Errorf("read the timeline: %w", err)
	}
	return events, nil
}

// Change is how a contract is changed: it locks the contract as the viewer sees it, asks the policy for the object "contract", and works
// in one transaction. Returns app.ErrNotFound to a stranger, app.ErrForbidden, or what work returns. work asks for the status that it
// needs (ErrState), records, notes an event (Note), queues mail and notifies (Notify).
func (s *Service) Change(ctx context.Context, v app.Viewer, id, action string, work func(tx pgx.Tx, c *Contract) error) error {
	if err := check(v); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		c, err := lockContract(ctx, tx, v.UserID, id)
		if err != nil {
			return fmt.Errorf("lock contract %s: %w", id, err)
		}
		if err := allow(c.Access, action); err != nil {
			return err
		}
		return work(tx, &c)
	})
}

// ChangeProduct is Change for a bought product; its contract is locked too, if it has one.
func (s *Service) ChangeProduct(ctx context.Context, v app.Viewer, id, action string, work func(tx pgx.Tx, p *Product) error) error {
	if err := check(v); err != nil {
		return err
	}
	return db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err := lockProduct(ctx, tx, v.UserID, id)
		if err != nil {
			return fmt.Errorf("lock product %s: %w", id, err)
		}
		if err := allow(p.Access, action); err != nil {
			return err
		}
		return work(tx, &p)
	})
}

// Note adds an event to the timeline of a contract, or of a one-off purchase, in the transaction of its cause. productID may name a
// product of the contract, or be "". data holds names and dates as they are now.
func Note(ctx context.Context, tx pgx.Tx, v app.Viewer, contractID, productID, kind string, data map[string]string) error {
	if _, err := insertEvent(ctx, tx, contractID, productID, v, kind, data); err != nil {
		return fmt.Errorf("note %s in a timeline: %w", kind, err)
	}
	return nil
}

// Notify tells every open page that shows a contract or a purchase, and lists of it, that it changed. Call it late, once.
func Notify(ctx context.Context, tx pgx.Tx, p Product, topics ...string) error {
	topics = append(topics, TopicOfAccount(p.AccountID))
	if p.ContractID == nil {
		return live.Notify(ctx, tx, append(topics, TopicOfPurchase(p.ID))...)
	}
	delegates, err := delegatesOf(ctx, tx, *p.ContractID)
	if err != nil {
		return fmt.Errorf("find the delegates of contract %s: %w", *p.ContractID, err)
	}
	for _, userID := range delegates {
		topics = append(topics, TopicOfDelegate(userID))
	}
	return live.Notify(ctx, tx, append(topics, TopicOf(*p.ContractID))...)
}

// Record adds an audit entry about a contract or a purchase.
func Record(ctx context.Context, tx pgx.Tx, v app.Viewer, i Item, action string, details map[string]any) error {
	entry := audit.Entry{Action: action, ObjectType: "product", ObjectID: i.Product.ID, ObjectName: i.Product.Title(), AccountID: i.AccountID(), Details: details}
	if i.Contract != nil {
		entry.ObjectType, entry.ObjectID, entry.ObjectName = "contract", i.Contract.ID, i.Contract.Name+" ("+strconv.FormatInt(i.Contract.Number, 10)+")"
	}
	return audit.Record(ctx, tx, v, entry)
}

// MaxReason is the longest reason of a cancellation, in characters.
const MaxReason = 1000

// DoContract changes the status of a contract and of its products by a deed of the store's, which the timeline tells and the owner gets
// by mail. Returns app.ErrNotFound, app.ErrForbidden, ErrState where the contract's status does not allow it, *app.Invalid on "reason".
func (s *Service) DoContract(ctx context.Context, v app.Viewer, id string, deed Deed, reason string) error {
	return s.Change(ctx, v, id, deed.Permission, func(tx pgx.Tx, c *Contract) error {
		item, err := itemOf(ctx, tx, v.UserID, *c, "")
		if err != nil {
			return err
		}
		return s.do(ctx, tx, v, item, deed, reason)
	})
}

// DoPurchase is DoContract for a one-off purchase.
func (s *Service) DoPurchase(ctx context.Context, v app.Viewer, id string, deed Deed, reason string) error {
	return s.ChangeProduct(ctx, v, id, deed.Permission, func(tx pgx.Tx, p *Product) error {
		if p.ContractID != nil {
			return fmt.Errorf("change the one-off purchase %s: %w", id, app.ErrNotFound)
		}
		return s.do(ctx, tx, v, Item{Products: []Product{*p}, Product: *p}, deed, reason)
	})
}

func (s *Service) do(ctx context.Context, tx pgx.Tx, v app.Viewer, item Item, deed Deed, reason string) error {
	if !item.Product.OfStore() {
		return app.ErrForbidden
	}
	return s.SetStatus(ctx, tx, v, item, deed.From, deed.To, deed.Name, reason)
}

// SetStatus gives a contract, or a one-off purchase, a status in a transaction that has locked it: products follow, hooks act, the
// timeline and the audit tell it as kind, the owner gets a mail, open pages hear of it. For billing and provisioning, which ask for the
// right themselves. Returns ErrState if its status is none of from.
func (s *Service) SetStatus(ctx context.Context, tx pgx.Tx, v app.Viewer, item Item, from []string, to, kind, reason string) error {
	if !slices.Contains(from, item.Status()) {
		return ErrState
	}
	reason = strings.TrimSpace(reason)
	if utf8.RuneCountInString(reason) > MaxReason {
		return app.Invalidf("reason", "contracts.reason-long", "Max", MaxReason)
	}
	contractID, productID := "", item.Product.ID
	var err error
	if item.Contract != nil {
		contractID, productID = item.Contract.ID, ""
		err = setContractStatus(ctx, tx, *item.Contract, to, reason)
	} else {
		err = setPurchaseStatus(ctx, tx, item.Product, to)
	}
	if err != nil {
		return fmt.Errorf("set the status %s: %w", to, err)
	}
	if err := s.hook(ctx, tx, v, item, item.Status(), to); err != nil {
		return err
	}
	event, err := insertEvent(ctx, tx, contractID, productID, v, kind, nil)
	if err != nil {
		return fmt.Errorf("note %s in a timeline: %w", kind, err)
	}
	details := map[string]any{"status": audit.Change{Before: item.Status(), After: to}}
	if reason != "" {
		details["reason"] = reason
	}
	if err := Record(ctx, tx, v, item, "contract."+kind, details); err != nil {
		return err
	}
	if err := s.tell(ctx, tx, v, item, event, to); err != nil {
		return err
	}
	return Notify(ctx, tx, item.Product)
}

func (s *Service) hook(ctx context.Context, tx pgx.Tx, v app.Viewer, item Item, from, to string) error {
	for _, hook := range s.hooks {
		if err := hook(ctx, tx, v, item, from, to); err != nil {
			return err
		}
	}
	return nil
}

// tell mails the owner that a status changed, unless they did it.
func (s *Service) tell(ctx context.Context, tx pgx.Tx, v app.Viewer, item Item, event, to string) error {
	owners, err := ownersOf(ctx, tx, item.AccountID())
	if err != nil {
		return fmt.Errorf("find the owner of an account: %w", err)
	}
	page := "/purchases/" + item.Product.ID
	if item.Contract != nil {
		page = "/contracts/" + item.Contract.ID
	}
	for _, owner := range owners {
		if owner.ID == v.UserID {
			continue
		}
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "contract-status", Key: "contract-status:" + event + ":" + owner.ID,
			UserID: owner.ID, Recipient: owner.Email, Name: owner.Name, Language: owner.Language, Zone: owner.TimeZone,
			Data: map[string]string{"Page": page, "Contract": item.Name(), "Product": item.Product.Title(), "State": to, "About": item.Product.ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// askMail tells at sending whether somebody may get a mail about a contract or a purchase.
func (s *Service) askMail(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	p, err := productByID(ctx, conn, m.UserID, m.Data["About"])
	if errors.Is(err, app.ErrNotFound) || err == nil && !p.OfAccount() {
		return "no-access", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("ask who sees a product: %w", err)
	}
	return "", "", nil
}

// AccountName is what an account is called, for the store: app.ErrNotFound for an id that is no account's.
func (s *Service) AccountName(ctx context.Context, v app.Viewer, id string) (string, error) {
	if err := access.Check(v, "clients", "view"); err != nil {
		return "", err
	}
	name, err := accountName(ctx, s.pool, id)
	if err != nil {
		return "", fmt.Errorf("read the name of account %s: %w", id, err)
	}
	return name, nil
}

// OfAccount returns a page of an account's contracts, for the store, newest first, and the key of the next page: nil on the last one.
func (s *Service) OfAccount(ctx context.Context, v app.Viewer, accountID string, after app.Key) (page []Row, next *app.Key, err error) {
	if err := access.Check(v, "clients", "view"); err != nil {
		return nil, nil, err
	}
	if page, err = ofAccount(ctx, s.pool, v.UserID, accountID, after, pageSize+1); err != nil {
		return nil, nil, fmt.Errorf("list the contracts of account %s: %w", accountID, err)
	}
	page, next = cut(page, func(r Row) app.Key { return app.Key{At: r.Since, ID: r.ID} })
	return page, next, nil
}

// maxPurchases is how many one-off purchases the store is shown of an account: the newest.
const maxPurchases = 200

// PurchasesOf lists an account's one-off purchases, for the store, newest first.
func (s *Service) PurchasesOf(ctx context.Context, v app.Viewer, accountID string) ([]Product, error) {
	if err := access.Check(v, "clients", "view"); err != nil {
		return nil, err
	}
	products, err := purchasesOf(ctx, s.pool, v.UserID, accountID, maxPurchases)
	if err != nil {
		return nil, fmt.Errorf("list the one-off purchases of account %s: %w", accountID, err)
	}
	return products, nil
}
