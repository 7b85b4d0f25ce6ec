package provisioning

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"portico/app"
	"portico/app/audit"
	"portico/app/db"
	"portico/app/mail"

	"github.com/jackc/pgx/v5"
)

// end writes what came of a turn, in a transaction of its own that is tried until it commits: what is not written down is looked up.
func (s *Service) end(ctx context.Context, t *turn, result Result, failure error, pause time.Duration) error {
	interrupted := ctx.Err() != nil // the program stops
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if t.wire != nil {
		t.wire.Learn(Secrets(t.function.Returns, result.Data)...)
	}
	for {
		var outcome error
		err := db.InTx(ctx, s.pool, func(tx pgx.Tx) (err error) {
			outcome, err = s.settleTurn(ctx, tx, t, result, failure, pause, interrupted)
			return err
		})
		if err == nil {
			return outcome
		}
		slog.WarnContext(ctx, "what came of a run could not be stored", "run", t.run.ID, "error", mail.Redact(err.Error()))
		select {
		case <-ctx.Done():
			return fmt.Errorf("store what came of run %s: %w", t.run.ID, err)
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// settleTurn turns what a driver said into what becomes of the run.
func (s *Service) settleTurn(ctx context.Context, tx pgx.Tx, t *turn, result Result, failure error, pause time.Duration, interrupted bool) (outcome, err error) {
	if err := lockProduct(ctx, tx, t.run.ProductID); err != nil && !errors.Is(err, app.ErrNotFound) {
		return nil, err
	}
	now, err := lockRun(ctx, tx, t.run.ID)
	if err != nil {
		return nil, err
	}
	if now.Final() || now.Turn != t.number {
		slog.WarnContext(ctx, "a run went on without this worker: what it brings is dropped", "run", t.run.ID, "turn", t.number)
		return nil, nil
	}
	var refused *Refused
	var later *Later
	var unauthorised *Unauthorised
	var unknown *Unknown
	var lookUp *lookUpFailed
	errors.As(failure, &lookUp)
	last := pause <= 0 || t.run.Attempts >= t.run.MaxAttempts || time.Since(t.run.since())+pause > s.limits.Age
	scrub := func(text string) string { return mail.Redact(t.wire.Scrub(text)) }
	a := Attempt{RunID: t.run.ID, Attempt: t.number, StartedAt: t.at}
	e := ending{Reference: t.run.Reference}
	again := func(wait time.Duration, family string) {
		at := time.Now().Add(wait)
		a.Outcome, a.NextAt, e.Status, e.NextAt = attemptRetry, &at, Retrying, &at
		if e.Message == "" {
			e.Message = t.say.T("provisioning.retry-" + family)
		}
	}
	switch {
	case failure == nil && !result.Waiting:
		return nil, s.succeed(ctx, tx, t, a, result, scrub)
	case failure == nil, t.poll && !errors.As(failure, &refused) && !errors.As(failure, &unauthorised):
		// The provider is still at it, or could not be asked: both only take time.
		return s.wait(ctx, tx, t, a, result, failure, scrub)
	case errors.As(failure, &refused) && lookUp == nil:
		a.Outcome, a.Detail = attemptFailed, scrub(refused.Detail)
		e.Status, e.Family = Failed, or(refused.Family, FamilyRefused)
		if e.Message, err = s.refusal(ctx, tx, t, refused); err != nil {
			return nil, err
		}
		if len(refused.Done) > 0 {
			a.Detail = t.say.T("provisioning.steps-done", "Steps", strings.Join(refused.Done, ", ")) + " " + a.Detail
		}
		outcome = &Ended{e.Family}
	case errors.Is(failure, errRevoked):
		a.Outcome, e.Status, e.Family = attemptCancelled, Cancelled, FamilyRevoked
		e.Message = t.say.T("provisioning.ended-revoked")
		outcome = &Ended{e.Family}
	case errors.As(failure, &unauthorised):
		a.Detail, e.Refund, e.InDoubt = scrub(unauthorised.Detail), 1, lookUp != nil
		if t.poll {
			e.Waiting, e.Refund = true, 0
		}
		e.Message = t.say.T("provisioning.held-paused")
		again(s.limits.Paused, "")
		if t.poll {
			e.Status = Running
		}
		if err := s.pause(ctx, tx, t, a.Detail); err != nil {
			return nil, err
		}
		outcome = &Held{s.limits.Paused}
	case errors.As(failure, &later) && later.Limit:
		wait := min(max(later.After, time.Second), s.limits.Later)
		a.Detail, e.Refund, e.InDoubt = scrub(later.Detail), 1, lookUp != nil
		again(wait, "limit")
		outcome = &Held{wait}
	case interrupted:
		// Given back without costing an attempt. A call that was cut off is looked up.
		e.Refund, e.InDoubt = 1, lookUp != nil || !t.function.Repeatable && later == nil
		again(0, "stopped")
		outcome = failure
	case errors.Is(failure, errCantTell):
		a.Outcome, e.Status, e.Family, e.Unknown = attemptUnknown, Failed, FamilyUnknown, true
		a.Detail, e.Message = failure.Error(), t.say.T("provisioning.ended-unknown")
		outcome = &Ended{e.Family}
	default:
		errors.As(failure, &unknown)
		doubt := lookUp != nil || later == nil && !t.function.Repeatable
		a.Detail = scrub(failure.Error())
		if unknown != nil && len(unknown.Done) > 0 {
			a.Detail = t.say.T("provisioning.steps-done", "Steps", strings.Join(unknown.Done, ", ")) + " " + a.Detail
		}
		if !last {
			wait := pause
			if later != nil && later.After > wait {
				wait = min(later.After, s.limits.Later)
			}
			e.InDoubt = doubt
			again(wait, map[bool]string{true: "unknown", false: "later"}[doubt])
			if doubt && lookUp == nil {
				a.Outcome = attemptUnknown
			}
			if wait > pause {
				outcome = &Held{wait}
			} else {
				outcome = errors.New(a.Detail)
			}
			break
		}
		a.Outcome, e.Status, e.Family = attemptFailed, Failed, FamilyGaveUp
		if doubt {
			a.Outcome, e.Family, e.Unknown = attemptUnknown, FamilyUnknown, true
		}
		e.Message = t.say.T("provisioning.ended-"+e.Family, "Attempts", t.run.Attempts)
		outcome = &Ended{e.Family}
	}
	a.Message = e.Message
	if err := insertAttempt(ctx, tx, a, s.debug(t)); err != nil {
		return nil, err
	}
	return outcome, s.finish(ctx, tx, t, e)
}

// refusal is what clients read of a refusal: what an admin wrote for the family, else the driver's safe words, else the catalogue's.
func (s *Service) refusal(ctx context.Context, tx pgx.Tx, t *turn, refused *Refused) (string, error) {
	family := or(refused.Family, FamilyRefused)
	words, err := wordsFor(ctx, tx, family)
	if err != nil || words != "" {
		return words, err
	}
	if refused.Message != "" {
		return mail.Redact(t.wire.Scrub(refused.Message)), nil
	}
	return t.say.T("provisioning.family-" + family), nil
}

// wait notes that the provider goes on working.
func (s *Service) wait(ctx context.Context, tx pgx.Tx, t *turn, a Attempt, result Result, failure error, scrub func(string) string) (outcome, err error) {
	since := time.Now()
	if t.run.WaitingSince != nil {
		since = *t.run.WaitingSince
	}
	looks, err := waitingTurns(ctx, tx, t.run.ID)
	if err != nil {
		return nil, err
	}
	after := s.limits.Looks[min(looks, len(s.limits.Looks)-1)]
	if result.After > 0 {
		after = min(result.After, s.limits.Looks[len(s.limits.Looks)-1])
	}
	next := time.Now().Add(after)
	e := ending{Status: Running, Waiting: true, NextAt: &next, Reference: or(result.Reference, t.run.Reference), Message: scrub(result.Message)}
	a.Outcome, a.NextAt = attemptWaiting, &next
	if failure != nil {
		a.Detail = scrub(failure.Error())
	}
	outcome = &Held{after}
	if time.Since(since)+after > t.function.WaitLimit() {
		a.Outcome, a.NextAt = attemptUnknown, nil
		e = ending{Status: Failed, Family: FamilyUnknown, Unknown: true, Reference: e.Reference, Message: t.say.T("provisioning.ended-waited")}
		outcome = &Ended{FamilyWaited}
	}
	if e.Message == "" {
		e.Message = t.say.T("provisioning.waiting")
	}
	a.Message = e.Message
	if err := insertAttempt(ctx, tx, a, s.debug(t)); err != nil {
		return nil, err
	}
	return outcome, s.finish(ctx, tx, t, e)
}

// succeed writes a result: fields with their history, what is handed out, the product's status.
func (s *Service) succeed(ctx context.Context, tx pgx.Tx, t *turn, a Attempt, result Result, scrub func(string) string) error {
	e := ending{Status: Succeeded, Reference: or(result.Reference, t.run.Reference), Message: scrub(result.Message)}
	if e.Message == "" {
		e.Message = t.say.T("provisioning.done")
		if key := "actions.done-" + kebab(t.function.Name); t.say.Has(key) {
			e.Message = t.say.T(key)
		}
	}
	data, err := CheckResult(t.function, result.Data)
	if err != nil {
		// It was done all the same. What came back is kept as far as it is what was declared.
		a.Detail = t.say.T("provisioning.result-wrong") + " " + err.Error()
		data = declared(t.function, result.Data)
	}
	open, secret := Split(t.function.Returns, data)
	e.Result = open
	if e.Changes, err = s.fill(ctx, tx, t, data); err != nil {
		return err
	}
	if len(secret) > 0 && t.run.ActorID != nil && handsOut(t.function) {
		sealed, err := s.seal(purposeResult, t.run.ID, secret)
		if err != nil {
			return err
		}
		if err := putSecret(ctx, tx, t.run.ID, "result", t.run.ActorID, sealed, s.limits.ResultLife); err != nil {
			return fmt.Errorf("store what run %s hands out: %w", t.run.ID, err)
		}
	}
	if err := setStatus(ctx, tx, t.run.ProductID, t.function.Name); err != nil {
		return err
	}
	a.Outcome, a.Message = attemptSucceeded, e.Message
	if err := insertAttempt(ctx, tx, a, s.debug(t)); err != nil {
		return err
	}
	return s.finish(ctx, tx, t, e)
}

// finish writes how a turn leaves its run, and if that is over, lets the next one of the product begin and tells admins of a failure.
func (s *Service) finish(ctx context.Context, tx pgx.Tx, t *turn, e ending) error {
	run := t.run
	if err := endTurn(ctx, tx, run.ID, e); err != nil {
		return fmt.Errorf("store what became of run %s: %w", run.ID, err)
	}
	run.Status, run.Message, run.ErrorFamily, run.UnknownOutcome = e.Status, e.Message, e.Family, e.Unknown
	if e.Status == Succeeded || e.Status == Failed || e.Status == Cancelled {
		if err := s.passOn(ctx, tx, run.ProductID); err != nil {
			return err
		}
		if err := s.ended(ctx, tx, run, e.Changes); err != nil {
			return err
		}
	}
	return notifyRun(ctx, tx, run)
}

// passOn queues the next open run of a product, whose own job came too early.
func (s *Service) passOn(ctx context.Context, tx pgx.Tx, productID string) error {
	next, bySystem, err := nextInLine(ctx, tx, productID)
	if err != nil || next == "" {
		return err
	}
	return s.enqueue(ctx, tx, next, bySystem)
}

// ended records changes, tells admins of failures, and tickets about earlier failures of a success.
func (s *Service) ended(ctx context.Context, tx pgx.Tx, run Run, changes []FieldChange) error {
	if run.Status == Failed {
		if err := s.tellAdmins(ctx, tx, run); err != nil {
			return err
		}
	}
	if run.Status == Succeeded {
		if err := s.tellTickets(ctx, tx, run); err != nil {
			return err
		}
	}
	if len(changes) == 0 {
		return nil
	}
	v := audit.System
	if run.ActorID != nil {
		v = app.Viewer{UserID: *run.ActorID, Name: run.ActorName, IP: run.ActorIP}
	}
	return s.recordFields(ctx, tx, v, run.ProductID, run.ProductName, run.ID, changes)
}
