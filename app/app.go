// Package app holds the words that every part of the portal shares: who is asking ([Viewer]), and how a request can be
// refused ([ErrNotFound], [ErrForbidden], [Invalid] and their kin). It imports nothing of ours.
//
// The portal itself lives in the packages below this one, one per domain: app/auth proves who somebody is, app/accounts
// knows account holders and staff, app/store knows the hosting business. app/web turns answers into pages and fragments,
// app/server lists every route. Start reading at app/server/routes.go.
package app
