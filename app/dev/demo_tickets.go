package dev

import (
	"context"
	"fmt"
	"time"

	"portico/app/markdown"

	"github.com/jackc/pgx/v5"
)

// demoTicket is a support case of the demo store. The first post is the opener's.
type demoTicket struct {
	subject    string
	department string // "" for none
	assignee   string // e-mail, "" for nobody
	status     string
	opened     time.Duration // before the store is loaded
	posts      []demoPost
}

// demoPost is one message. after is since the one before it.
type demoPost struct {
	by    string // e-mail
	after time.Duration
	text  string
	note  bool
}

const (
	bea    = "bea@bluebird.example"
	stella = "stella@corvid.example"
	lee    = "lee@papertrail.example"
	ada    = "ada@northwind.example"
	sam    = "sam@northwind.example"
	priya  = "priya@northwind.example"

	day = 24 * time.Hour
)

// demoTickets are in the order in which they were opened: Bea has one in every status.
var demoTickets = []demoTicket{
	{"Second mailbox for the bakery", "Technical support", sam, "closed", 61 * day, []demoPost{
		{bea, 0, "We hired somebody for the counter. Can we have a mailbox **counter@bluebird.example** for her?", false},
		{sam, 40 * time.Minute, "Of course. It exists now, with 5 GB. The password is set by her, with the link I just sent to your address.\n\nSettings, if she uses a phone:\n\n| | server | port |\n| --- | --- | --- |\n| incoming | mail.northwind.example | 993 |\n| outgoing | mail.northwind.example | 465 |", false},
		{bea, 3 * time.Hour, "It works on her phone. Could copies of orders go there as well?", false},
		{sam, time.Hour, "They do from now on: everything sent to orders@ arrives in both mailboxes.", false},
		{bea, 20 * time.Hour, "Perfect, thank you. You can close this.", false},
	}},
	{"Site was slow on Saturday morning", "Technical support", sam, "closed", 33 * day, []demoPost{
		{bea, 0, "Between nine and ten the site took ages. That is when people order for Sunday. What was it?", false},
		{sam, 2 * time.Hour, "A backup of a neighbouring site ran late and took the disk. I have moved yours to another machine.", false},
		{sam, time.Minute, "The same neighbour as last month. If it happens again, move them, not her.", true},
		{bea, 26 * time.Hour, "Today was fine. How can I see that it stays so?", false},
		{sam, 30 * time.Minute, "I check response times on Saturdays for the next month and write here if one is above a second.", false},
		{bea, 7 * day, "Nothing to complain about. I close it.", false},
	}},
	{"Proof copies of our invoices for 2025", "Billing", priya, "closed", 28 * day, []demoPost{
		{stella, 0, "Our accountant needs all invoices of 2025 again, with the VAT number on them.", false},
		{priya, 5 * time.Hour, "Here is the list: 12 invoices, all with the number. I mailed them to accounts@corvid.example.", false},
		{stella, 20 * time.Hour, "Received, all there. Thanks.", false},
	}},
	{"Move bluebird-bakery.example to your nameservers", "Technical support", sam, "waiting", 6 * day, []demoPost{
		{bea, 0, "We bought **bluebird-bakery.example** from somebody else years ago. Can it point to our site like the main one?", false},
		{sam, 90 * time.Minute, "Yes. At the other company please set these nameservers:\n\n```\nns1.northwind.example\nns2.northwind.example\n```\n\nTell me when it is done; I prepare the zone meanwhile.", false},
		{bea, 2 * day, "They say the change is made and that the registry confirms it within five days.", false},
		{sam, 3 * time.Hour, "Good. I look every morning and write when it is through. Nothing for you to do.", false},
	}},
	{"Staging copy of the shop for the redesign", "Technical support", "", "client_replied", 4 * day, []demoPost{
		{bea, 0, "An agency redesigns our shop. They want a copy to work on that customers can’t see. What do you suggest?", false},
		{sam, time.Hour, "A copy at *staging.bluebird.example* behind a password, with its own database. The copy sends no mail, so no customer gets a test order.\n\n1. I make the copy from last night’s backup.\n2. You get the password here.\n3. When the redesign is done we swap the two, at night.", false},
		{bea, 19 * time.Hour, "Sounds right. How long may it stay?", false},
		{sam, 2 * time.Hour, "Two months are included. After that it counts as a site of its own.", false},
		{bea, 30 * time.Hour, "Then please make it. The agency starts on Monday and asks for PHP 8.4 on the copy only, is that possible?", false},
	}},
	{"Newsletter lands in spam", "Technical support", sam, "staff_replied", 3 * day, []demoPost{
		{stella, 0, "Since we moved the newsletter to our own server a third of it lands in spam folders.", false},
		{sam, 4 * time.Hour, "I see no DMARC record for corvid.example, and the messages are signed with an old key. May I change both?", false},
		{stella, 2 * time.Hour, "Please do.", false},
		{sam, time.Hour, "Done:\n\n```\n_dmarc.corvid.example. TXT \"v=DMARC1; p=quarantine; rua=mailto:dmarc@corvid.example\"\n```\n\nSend one issue to a few addresses of your own and tell me where it lands.", false},
	}},
	{"Messages from our contact form don’t arrive", "Technical support", sam, "staff_replied", 50 * time.Hour, []demoPost{
		{bea, 0, "Since Monday evening nothing from our contact form reaches us. The form says “Thank you”, but hello@bluebird.example stays empty. A customer rang today about a wedding cake she ordered on Tuesday; we never saw it.\n\nOther mail works. Can you look?", false},
		{sam, 42 * time.Minute, "Good morning Bea. The messages leave your site and our mail server turns them away:\n\n```\n550 5.7.1 Sender address rejected: not owned by user bluebird\n```\n\nMonday’s update of the form plugin made it send as the visitor’s own address. It should send as `forms@bluebird.example` and put the visitor in *Reply-To*. Nothing is lost: the 23 messages since Monday are kept in the plugin’s outbox.", false},
		{sam, 10 * time.Minute, "Third site with this plugin update this week. If a fourth comes, we write to all who use it.", true},
		{bea, 20 * time.Hour, "Our web people changed the plugin and emptied the outbox, all 23 went out. A test at 14:05 arrived, but in the spam folder.", false},
		{sam, 90 * time.Minute, "The headers say `dkim=none`: the key was left behind when we moved your zone on Monday, and that one is on us. I’ve added it again and sent three tests; all passed and landed in the inbox.\n\nCould you send one yourself, from the form on the site? If it arrives, we’re done here.", false},
	}},
	{"What would two small shops cost?", "Sales", "", "client_replied", 30 * time.Hour, []demoPost{
		{lee, 0, "We are two people who sell paper. We need two small shops and mail for both of us. What would you take?", false},
		{ada, 3 * time.Hour, "Hello Lee. *Web hosting Standard* carries both shops; mail for two is included. 14 EUR a month, the first month is free.\n\n> Do you have domain names already?", false},
		{lee, 22 * time.Hour, "One of two. Can the other be registered with you, and who owns it then?", false},
	}},
	{"Invoice 2026-1187 shows our old address", "Billing", "", "open", 3 * time.Hour, []demoPost{
		{bea, 0, "We moved in September, Mill Lane 4. The invoice of this month still has Harbour Street. Could you send a corrected one?", false},
	}},
}

// loadTickets opens the demo store's tickets, as if they had been written at their times. Nobody is told of them by mail.
func loadTickets(ctx context.Context, tx pgx.Tx) error {
	now := time.Now()
	for _, t := range demoTickets {
		at := now.Add(-t.opened)
		var id string
		err := tx.QueryRow(ctx, `
			insert into tickets (account_id, opener_id, subject, department_id, assignee_id, status, created_at, closed_at)
			select au.account_id, u.id, $2, (select id from departments where name = $3), (select id from users where email = $4), $5, $6,
				case when $5 = 'closed' then $6::timestamptz end
			from users u join account_users au on au.user_id = u.id where u.email = $1
			returning id`, t.posts[0].by, t.subject, t.department, t.assignee, t.status, at).Scan(&id)
		if err != nil {
			return fmt.Errorf("open the ticket %q: %w", t.subject, err)
		}
		var client, waiting *time.Time
		for i, p := range t.posts {
			at = at.Add(p.after)
			if err := insertDemoPost(ctx, tx, id, p, at); err != nil {
				return fmt.Errorf("write in the ticket %q: %w", t.subject, err)
			}
			posted := at
			switch {
			case p.note:
			case p.by == t.posts[0].by:
				client = &posted
				if waiting == nil {
					waiting = &posted
				}
			default:
				waiting = nil
			}
			if i == 0 && t.assignee != "" {
				err := demoEvent(ctx, tx, id, t.assignee, "assign", at.Add(5*time.Minute), "select jsonb_build_object('Before', '', 'After', u.name)")
				if err != nil {
					return fmt.Errorf("assign the ticket %q: %w", t.subject, err)
				}
			}
		}
		last := at
		switch t.status {
		case "waiting":
			last = at.Add(time.Minute)
			err = demoEvent(ctx, tx, id, t.assignee, "status", last, "select jsonb_build_object('After', 'waiting')")
		case "closed":
			last, waiting = at.Add(time.Minute), nil
			err = demoEvent(ctx, tx, id, t.posts[0].by, "close", last, "select '{}'::jsonb")
		}
		if err != nil {
			return fmt.Errorf("note the status of the ticket %q: %w", t.subject, err)
		}
		_, err = tx.Exec(ctx, `
			update tickets set last_post_at = $2, last_client_post_at = $3, waiting_since = $4, updated_at = $5,
				closed_at = case when status = 'closed' then $5::timestamptz end
			where id = $1`, id, at, client, waiting, last)
		if err != nil {
			return fmt.Errorf("date the ticket %q: %w", t.subject, err)
		}
	}
	_, err := tx.Exec(ctx, `
		update tickets t set product_id = (select cp.id from contract_products cp
			where cp.account_id = t.account_id and cp.category = 'web-hosting' and cp.contract_id is not null order by cp.created_at, cp.id limit 1)
		where t.subject in ('Messages from our contact form don’t arrive', 'Staging copy of the shop for the redesign', 'Newsletter lands in spam')`)
	if err != nil {
		return fmt.Errorf("say what the tickets are about: %w", err)
	}
	return nil
}

func insertDemoPost(ctx context.Context, tx pgx.Tx, ticketID string, p demoPost, at time.Time) error {
	_, err := tx.Exec(ctx, `
		insert into ticket_messages (ticket_id, author_id, author_name, voice, internal, body, html, created_at)
		select $1, u.id, u.name, case when u.role is null then 'owner' else 'store' end, $3, $4, $5, $6 from users u where u.email = $2`,
		ticketID, p.by, p.note, p.text, string(markdown.Render(p.text)), at)
	return err
}

// demoEvent notes an event by a user u; data is a query of its details.
func demoEvent(ctx context.Context, tx pgx.Tx, ticketID, by, kind string, at time.Time, data string) error {
	_, err := tx.Exec(ctx, `
		insert into ticket_events (ticket_id, actor_id, actor_name, kind, at, data)
		select $1, u.id, u.name, $3, $4, (`+data+`) from users u where u.email = $2`, ticketID, by, kind, at)
	return err
}
