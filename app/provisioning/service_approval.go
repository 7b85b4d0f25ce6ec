package provisioning

import (
	"context"
	"errors"
	"fmt"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
)

// Families of runs that waited for the owner's approval and did not get it.
const (
	FamilyDeclined = "declined"
	FamilyExpired  = "expired" // nobody decided in time
)

// waits tells whether a run of the viewer's waits for the owner's approval: a delegate's, where the owner set that, of all that is more
// than reading and signing in.
func (p Product) waits(f Function) bool {
	return p.Relation == Delegate && p.AskFirst && f.Class != ClassRead && f.Class != ClassLogin
}

// mayDecide tells whether the viewer may approve or decline a run that waits: whoever decides about delegates.
func (p Product) mayDecide() bool { return p.Allows("run_approve") }

// askApproval queues a mail to the account's owner about a run that waits.
func (s *Service) askApproval(ctx context.Context, tx pgx.Tx, p Product, run Run) error {
	people, err := ownerOf(ctx, tx, p.AccountID)
	if err != nil {
		return fmt.Errorf("find the owner of account %s: %w", p.AccountID, err)
	}
	for _, person := range people {
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "provision-approval", Key: "provision-approval:" + run.ID + ":" + person.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name,
			Language: person.Language, Zone: person.TimeZone,
			Data: map[string]string{"Run": run.ID, "Product": p.title(), "Action": s.label(person.Language, run), "Name": run.ActorName, "Page": "/runs/" + run.ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Decide approves a run that waits for it, which is then queued and asked about its rights again, or declines it, which ends it.
//
// Returns app.ErrNotFound to a stranger, app.ErrForbidden to who may not decide, or approves what they may not run themselves,
// app.ErrProof for what needs a fresh one, app.ErrConflict where nothing waits any more. Queues a mail to who asked, notifies.
func (s *Service) Decide(ctx context.Context, v app.Viewer, id string, approve bool) (Run, error) {
	run, p, err := s.run(ctx, v, id)
	if err != nil {
		return Run{}, err
	}
	if !p.mayDecide() {
		return Run{}, app.ErrForbidden
	}
	if approve && run.Status == Approval {
		f, err := s.offered(p, run.Action)
		if errors.Is(err, app.ErrNotFound) {
			return Run{}, fmt.Errorf("approve run %s, which its provider does not offer any more: %w", id, app.ErrConflict)
		}
		if err != nil {
			return Run{}, err
		}
		if err := p.mayRun(f); err != nil {
			return Run{}, err
		}
		if f.dangerous() && time.Since(v.ProvedAt) > s.limits.Proof {
			return Run{}, app.ErrProof
		}
	}
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockProduct(ctx, tx, run.ProductID); err != nil {
			return err
		}
		if run, err = lockRun(ctx, tx, id); err != nil {
			return err
		}
		if run.Status != Approval {
			return fmt.Errorf("decide run %s, which is %s: %w", id, run.Status, app.ErrConflict)
		}
		if err := setDecided(ctx, tx, id, v.UserID, v.Name, approve); err != nil {
			return fmt.Errorf("decide run %s: %w", id, err)
		}
		run.DecidedByName = v.Name
		answer, action := "declined", "provision.decline"
		if approve {
			answer, action = "approved", "provision.approve"
			run.Status = Queued
			if err := s.enqueue(ctx, tx, id, false); err != nil {
				return err
			}
			if err := notifyRun(ctx, tx, run); err != nil {
				return err
			}
		} else {
			say, err := s.sayer(ctx, tx)
			if err != nil {
				return err
			}
			e := ending{Status: Cancelled, Family: FamilyDeclined, Message: say.T("provisioning.ended-declined", "Name", v.Name)}
			if err := s.finish(ctx, tx, &turn{run: run, say: say}, e); err != nil {
				return err
			}
		}
		if err := s.tellAsker(ctx, tx, v, run, answer); err != nil {
			return err
		}
		return audit.Record(ctx, tx, v, audit.Entry{
			Action: action, ObjectType: "product", ObjectID: p.ID, ObjectName: p.Name, Details: map[string]any{"action": run.Action, "run": run.ID, "for": run.ActorName},
		})
	})
	return run, err
}

// tellAsker queues a mail with the answer to who asked for a run.
func (s *Service) tellAsker(ctx context.Context, tx pgx.Tx, v app.Viewer, run Run, answer string) error {
	people, err := personByID(ctx, tx, *run.ActorID)
	if err != nil {
		return fmt.Errorf("find who asked for run %s: %w", run.ID, err)
	}
	for _, person := range people {
		err := s.mail.Queue(ctx, tx, mail.Message{
			Kind: "provision-answered", Key: "provision-answered:" + run.ID, UserID: person.ID, Recipient: person.Email, Name: person.Name,
			Language: person.Language, Zone: person.TimeZone,
			Data: map[string]string{"Run": run.ID, "Product": run.ProductName, "Action": s.label(person.Language, run), "Name": v.Name, "Answer": answer, "Page": "/runs/" + run.ID},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// askMail tells at sending whether the recipient of a mail about an approval still sees the run, and one that asks for it whether it
// still waits.
func (s *Service) askMail(ctx context.Context, conn db.Conn, m mail.Asked) (reason, quote string, err error) {
	run, err := runByID(ctx, conn, m.Data["Run"])
	if err == nil && m.Kind == "provision-approval" && run.Status != Approval {
		return "link-dead", "", nil
	}
	if err == nil {
		_, err = productByID(ctx, conn, m.UserID, run.ProductID)
	}
	if errors.Is(err, app.ErrNotFound) {
		return "no-access", "", nil
	}
	if err != nil {
		return "", "", fmt.Errorf("ask who sees a run: %w", err)
	}
	return "", "", nil
}

// expire cancels runs that nobody approved in time, or whose delegate is out, and with that deletes their secret parameters.
func (s *Service) expire(ctx context.Context) error {
	stale, err := staleApprovals(ctx, s.pool, s.limits.Approval, 500)
	if err != nil {
		return fmt.Errorf("find approvals that nobody gave: %w", err)
	}
	for _, one := range stale {
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			if err := lockProduct(ctx, tx, one.ProductID); err != nil && !errors.Is(err, app.ErrNotFound) {
				return err
			}
			run, err := lockRun(ctx, tx, one.ID)
			if err != nil || run.Status != Approval {
				return err
			}
			say, err := s.sayer(ctx, tx)
			if err != nil {
				return err
			}
			family := FamilyRevoked
			if one.Late {
				family = FamilyExpired
			}
			return s.finish(ctx, tx, &turn{run: run, say: say}, ending{Status: Cancelled, Family: family, Message: say.T("provisioning.ended-" + family)})
		})
		if err != nil {
			return fmt.Errorf("cancel run %s, which waited for approval: %w", one.ID, err)
		}
	}
	return nil
}
