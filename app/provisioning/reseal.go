package provisioning

import (
	"context"
	"encoding/base64"
	"fmt"

	"portico/app/db"

	"github.com/jackc/pgx/v5"
)

// resealAtOnce is how many products are read at a time.
const resealAtOnce = 500

// Reseal encrypts with the newest key all that provisioning keeps sealed: settings of configurations, secret provision fields, and
// parameters and results of runs. In one transaction: all of it or nothing. Says how many values there were.
func (s *Service) Reseal(ctx context.Context) (count int, err error) {
	err = db.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		configurations, err := lockSettings(ctx, tx)
		if err != nil {
			return fmt.Errorf("read the settings of configurations: %w", err)
		}
		for _, row := range configurations {
			sealed, err := s.ring.Reseal(purposeSettings, row.ID, row.Sealed)
			if err != nil {
				return err
			}
			if err := setSettings(ctx, tx, row.ID, sealed); err != nil {
				return fmt.Errorf("store the settings of configuration %s: %w", row.ID, err)
			}
		}
		count += len(configurations)
		for kind, purpose := range map[string]string{"params": purposeParams, "result": purposeResult} {
			rows, err := lockRunSecrets(ctx, tx, kind)
			if err != nil {
				return fmt.Errorf("read the %s of runs: %w", kind, err)
			}
			for _, row := range rows {
				sealed, err := s.ring.Reseal(purpose, row.ID, row.Sealed)
				if err != nil {
					return err
				}
				if err := setRunSecret(ctx, tx, row.ID, kind, sealed); err != nil {
					return fmt.Errorf("store the %s of run %s: %w", kind, row.ID, err)
				}
			}
			count += len(rows)
		}
		n, err := s.resealFields(ctx, tx)
		count += n
		return err
	})
	return count, err
}

func (s *Service) resealFields(ctx context.Context, tx pgx.Tx) (count int, err error) {
	after := ""
	for {
		products, err := lockSealedFields(ctx, tx, after, resealAtOnce)
		if err != nil {
			return count, fmt.Errorf("read secret provision fields: %w", err)
		}
		for _, p := range products {
			for name, value := range p.Fields {
				inner, _ := value.(map[string]any)
				text, ok := inner[sealedKey].(string)
				if !ok {
					continue
				}
				sealed, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					return count, fmt.Errorf("read field %s of product %s: %w", name, p.ID, err)
				}
				if sealed, err = s.ring.Reseal(purposeField, p.ID+"/"+name, sealed); err != nil {
					return count, err
				}
				p.Fields[name] = map[string]any{sealedKey: base64.StdEncoding.EncodeToString(sealed)}
				count++
			}
			if err := setFields(ctx, tx, p.ID, p.Fields); err != nil {
				return count, fmt.Errorf("store the fields of product %s: %w", p.ID, err)
			}
			after = p.ID
		}
		if len(products) < resealAtOnce {
			return count, nil
		}
	}
}
