package provisioning

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"portico/app/provisioning/outbound"
)

// Unanswered is the error of a driver for a request that got no whole answer: *Later if the provider can't have acted, *Refused if
// its address must not be called, else *Unknown.
func Unanswered(err error) error {
	var busy *outbound.Busy
	switch {
	case errors.As(err, &busy):
		return &Later{After: busy.After, Limit: true, Detail: busy.Error()}
	case errors.Is(err, outbound.ErrInner) || errors.Is(err, outbound.ErrPlain):
		return &Refused{Family: FamilyRefused, Detail: outbound.Clean(err).Error()}
	case outbound.NotSent(err):
		return &Later{Detail: outbound.Clean(err).Error()}
	}
	return &Unknown{Detail: outbound.Clean(err).Error()}
}

// Answered is the error of a driver for an answer by its status alone, nil for 2xx. what are the provider's own words about it,
// without secrets. A 5xx may have had its effect.
func Answered(response *http.Response, what string) error {
	status := response.StatusCode
	detail := fmt.Sprintf("the provider answered %d", status)
	if what != "" {
		detail += ": " + what
	}
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return &Unauthorised{Detail: detail}
	case status == http.StatusRequestTimeout || status == http.StatusTooEarly || status == http.StatusTooManyRequests:
		return &Later{After: outbound.RetryAfter(response, time.Now()), Limit: status == http.StatusTooManyRequests, Detail: detail}
	case status == http.StatusNotFound || status == http.StatusGone:
		return &Refused{Family: FamilyMissing, Detail: detail}
	case status == http.StatusConflict:
		return &Refused{Family: FamilyState, Detail: detail}
	case status == http.StatusPaymentRequired:
		return &Refused{Family: FamilyBilling, Detail: detail}
	case status < 500:
		return &Refused{Family: FamilyRefused, Detail: detail}
	}
	return &Unknown{Detail: detail}
}
