#!/bin/sh
# Write data/atoll-stream.ndjson to standard output: short messages to help desks and lines of server logs, with a
# label and a domain each. The four domains arrive one after another. All of it is made up here: a template is drawn for
# each record and its slots are filled at random from a fixed seed, so the output is always the same.
#
# usage: data/make-stream.sh [RECORDS_PER_LABEL]
set -eu
export LC_ALL=C

awk -v per_label="${1:-32}" '
    # A Lehmer generator: whole numbers below n, alike in every awk.
    function below(n) {
        state = (state * 16807) % 2147483647
        return int(state / 2147483647 * n)
    }

    function pick(slot) {
        return words[slot, below(sizes[slot])]
    }

    # A number of so many digits.
    function number(count,    least) {
        least = 10 ^ (count - 1)
        return least + below(9 * least)
    }

    function fill(text,    before, slot) {
        while (match(text, /\{[a-z_]+\}/)) {
            before = substr(text, 1, RSTART - 1)
            slot = substr(text, RSTART + 1, RLENGTH - 2)
            text = before (slot in digits ? number(digits[slot]) : pick(slot)) substr(text, RSTART + RLENGTH)
        }
        return text
    }

    # People greet, hurry and thank; machines do not.
    function dress(domain, text,    chance) {
        if (domain == "servers")
            return text
        chance = below(10)
        if (chance < 2)
            text = pick("greeting") " " text
        else if (chance < 4)
            text = text " " pick("closing")
        else if (chance == 4)
            text = tolower(text)
        return text
    }

    function json(text) {
        gsub(/\\/, "\\\\", text)
        gsub(/"/, "\\\"", text)
        return "\"" text "\""
    }

    # Every label of a domain in turn, so that a stretch of the stream holds them all.
    function emit(domain, labels,    list, count, record, i, label, text, tries) {
        count = split(labels, list, " ")
        for (record = 0; record < per_label; record++)
            for (i = 1; i <= count; i++) {
                label = list[i]
                for (tries = 0; tries < 50; tries++) {
                    text = dress(domain, fill(pick(domain "/" label)))
                    if (!(text in seen))
                        break
                }
                seen[text] = 1
                printf "{\"id\":\"%s-%04d\",\"text\":%s,\"label\":\"%s\",\"domain\":\"%s\"}\n", \
                    domain, ++made[domain], json(text), label, domain
            }
    }

    BEGIN {
        FS = "|"
        state = 20260
        digits["n"] = 1
        digits["nn"] = 2
        digits["nnn"] = 3
    }

    # The lists below: name|text adds a text to a slot or to a label of a domain.
    NF == 2 { words[$1, sizes[$1]++] = $2 }

    END {
        emit("appliances", "leak no_power noise error_code warranty")
        emit("bank", "lost_card transfer fees login loan")
        emit("travel", "cancellation delay luggage seat visa")
        emit("servers", "disk memory timeout login_refused certificate")
    }
' << 'END'
greeting|Hello,
greeting|Good morning,
greeting|Hi there,
greeting|Dear team,
greeting|Quick question:
closing|Please help.
closing|Thanks in advance.
closing|What should I do?
closing|It is rather urgent.
closing|Can someone call me back?
closing|I have tried everything I can think of.

machine|washing machine
machine|dishwasher
machine|tumble dryer
machine|fridge
machine|freezer
machine|oven
machine|coffee maker
machine|kettle
machine|vacuum cleaner
machine|air conditioner
machine|microwave
room|kitchen
room|cellar
room|bathroom
room|hallway
part|door seal
part|water hose
part|drip tray
part|filter
part|drain pump
part|water tank
part|lid
moment|this morning
moment|since yesterday
moment|for {n} days now
moment|after the last wash
moment|over the weekend
moment|every evening
moment|since we moved in
sound|rattles
sound|squeals
sound|hums
sound|grinds
sound|bangs
sound|whistles
code|E{nn}
code|F{n}
code|H-{nn}
code|ERR {nnn}
code|U{n}{n}
appliances/leak|Water runs out from under the {machine} {moment}.
appliances/leak|There is a puddle in front of my {machine} in the {room}.
appliances/leak|The {part} drips and the floor of the {room} is wet.
appliances/leak|My {machine} leaks as soon as it begins to fill.
appliances/leak|I find water in the {room} each time the {machine} has run.
appliances/leak|A slow leak at the {part}, about {n} cups a day.
appliances/leak|It is losing water at the back, I think the {part} is cracked.
appliances/leak|Moisture gathers below the {machine} and the wood swells.
appliances/no_power|The {machine} is dead, no lights, nothing happens when I press start.
appliances/no_power|My {machine} does not switch on any more {moment}.
appliances/no_power|It turned itself off and will not come back, the socket works with a lamp.
appliances/no_power|The fuse trips whenever I plug in the {machine}.
appliances/no_power|No display and no reaction from the {machine} after the power cut.
appliances/no_power|Plugged the {machine} in in the {room}, it stays dark.
appliances/no_power|Starts for {n} seconds and then goes completely off.
appliances/no_power|The power button of my {machine} does nothing {moment}.
appliances/noise|The {machine} {sound} so loudly that we hear it in the {room}.
appliances/noise|A strange noise {moment}: it {sound} when the drum turns.
appliances/noise|My {machine} {sound} and shakes at {nnn} turns.
appliances/noise|Is it normal that a new {machine} {sound} for {nn} minutes?
appliances/noise|It became very loud {moment}, something {sound} inside.
appliances/noise|When the motor begins the whole {machine} vibrates and {sound}.
appliances/noise|The fan {sound}, the neighbours complain about the noise.
appliances/noise|I hear a clicking near the {part}, then it {sound}.
appliances/error_code|The display of the {machine} shows {code} and it stops.
appliances/error_code|What does {code} mean on my {machine}?
appliances/error_code|Error {code} comes back after every reset {moment}.
appliances/error_code|{code} blinks and the door of the {machine} stays locked.
appliances/error_code|I cleaned the {part} but the message {code} is still there.
appliances/error_code|The manual does not list the fault code {code}.
appliances/error_code|Halfway through the programme {code} appears, then {n} beeps.
appliances/error_code|Since the update the {machine} reports {code} at the start.
appliances/warranty|I bought the {machine} {nn} months ago, is the {part} still under warranty?
appliances/warranty|How do I register my new {machine} for the guarantee?
appliances/warranty|The receipt is lost, can I still make a warranty claim for the {machine}?
appliances/warranty|Does the guarantee cover a broken {part}?
appliances/warranty|I would like to extend the warranty of my {machine} by {n} years.
appliances/warranty|The shop says the repair of the {machine} is not covered, is that right?
appliances/warranty|Who pays for the technician while the guarantee lasts?
appliances/warranty|Please replace the {machine}, it is only {n} weeks old and within warranty.

card|debit card
card|credit card
card|bank card
card|business card
place|at the station
place|in a taxi
place|at the supermarket
place|on holiday
place|in a bar
amount|{nn} euros
amount|{nnn} euros
amount|{n}{nnn} euros
amount|{nn} pounds
amount|{nnn} dollars
person|my landlord
person|my sister
person|a shop abroad
person|my son
person|the tax office
person|a supplier
bank/lost_card|I lost my {card} {place}, please block it.
bank/lost_card|Somebody stole my wallet {place} and the {card} was in it.
bank/lost_card|My {card} is missing {moment}, how do I freeze it?
bank/lost_card|The machine swallowed my {card} {place}.
bank/lost_card|I need a replacement for a stolen {card}.
bank/lost_card|Block the card ending in {n}{nnn} at once, it is gone.
bank/lost_card|I left my {card} {place} and cannot find it again.
bank/lost_card|How long until a new {card} arrives when the old one was lost?
bank/transfer|The transfer of {amount} to {person} has not arrived.
bank/transfer|I sent {amount} to the wrong account, can you call it back?
bank/transfer|How long does it take to send {amount} to {person}?
bank/transfer|My standing order to {person} was not carried out {moment}.
bank/transfer|A payment of {amount} from {person} is still pending.
bank/transfer|What is the limit for a transfer in one day, I have to pay {amount}.
bank/transfer|Can I schedule a transfer to {person} for the {n}th?
bank/transfer|The recipient says the money never came, I sent {amount} {moment}.
bank/fees|Why was I charged {amount} for my account?
bank/fees|There is a fee on my statement that I do not know, {amount}.
bank/fees|What does it cost to draw cash with the {card} abroad?
bank/fees|Please refund the overdraft charge of {amount}.
bank/fees|The monthly fee went up by {n} percent and nobody told me.
bank/fees|Is the {card} free of charge for students?
bank/fees|You took a commission of {amount} when I changed money.
bank/fees|How can I avoid the account maintenance fee?
bank/login|I cannot sign in to online banking {moment}.
bank/login|My password was refused {n} times and now I am locked out.
bank/login|The app does not send me the code to confirm.
bank/login|I have a new phone, how do I move the banking app to it?
bank/login|The fingerprint no longer opens the app {moment}.
bank/login|Forgot my user name for the online account.
bank/login|It says that my session has expired whenever I sign in.
bank/login|Please reset the PIN of my online access.
bank/loan|I would like to borrow {amount} for a new kitchen.
bank/loan|What is the interest on a loan of {amount} over {n} years?
bank/loan|Can I pay back my mortgage earlier than agreed?
bank/loan|Which papers do you need to decide on my loan?
bank/loan|My application for a car loan was turned down, why?
bank/loan|I want to lower the monthly instalment of my credit.
bank/loan|Could we pause the mortgage payments for {n} months?
bank/loan|Is the rate of {n} percent fixed for the whole term?

city|Lisbon
city|Oslo
city|Nairobi
city|Lima
city|Hanoi
city|Montreal
city|Tbilisi
city|Cape Town
city|Naples
city|Osaka
vehicle|flight
vehicle|train
vehicle|ferry
vehicle|coach
bag|suitcase
bag|backpack
bag|pram
bag|guitar case
bag|ski bag
day|on Monday
day|on Friday
day|tomorrow
day|next week
day|on the {nn}th
travel/cancellation|I have to cancel my {vehicle} to {city} {day}.
travel/cancellation|Our {vehicle} to {city} was cancelled, do we get the money back?
travel/cancellation|Can I call off the hotel in {city} without paying?
travel/cancellation|Please refund the trip to {city}, my child is ill.
travel/cancellation|What does it cost to cancel {n} tickets {day}?
travel/cancellation|I no longer need the booking to {city}.
travel/cancellation|The tour in {city} did not take place, I want a refund.
travel/cancellation|Booked {city} by mistake, please undo the reservation.
travel/delay|The {vehicle} from {city} is {n} hours late.
travel/delay|We missed our connection in {city} because of the delay.
travel/delay|Is the {vehicle} to {city} {day} on time?
travel/delay|After a delay of {nnn} minutes, what compensation may I claim?
travel/delay|Still waiting at the gate in {city}, no news of the departure.
travel/delay|The {vehicle} left {city} so late that the hotel was closed.
travel/delay|Our departure has been put back {n} times already.
travel/delay|Who pays for the night in {city} when the {vehicle} is delayed?
travel/luggage|My {bag} did not arrive in {city}.
travel/luggage|The handle of my {bag} was broken on the {vehicle} to {city}.
travel/luggage|How heavy may a {bag} be on the {vehicle}?
travel/luggage|I left a {bag} on the {vehicle} from {city}.
travel/luggage|Can I add a {bag} to my booking {day}?
travel/luggage|The {bag} went to {city} instead, when do I get it?
travel/luggage|May I take a {bag} of {nn} kilos as hand luggage?
travel/luggage|Nobody answers at lost property in {city} about my {bag}.
travel/seat|I would like a window seat on the {vehicle} to {city}.
travel/seat|We are {n} people and want to sit together.
travel/seat|Can I move to row {nn}, my legs are long?
travel/seat|My reserved place on the {vehicle} was taken by someone else.
travel/seat|Please put me on the aisle {day}.
travel/seat|How do I choose a seat for a small child on the {vehicle}?
travel/seat|I paid for more leg room to {city} and did not get it.
travel/seat|Is there a quiet compartment on the {vehicle} to {city}?
travel/visa|Do I need a visa for {city} when I stay {nn} days?
travel/visa|My passport runs out in {n} months, may I still enter?
travel/visa|Which papers does a child need to travel to {city}?
travel/visa|How long does an entry permit for {city} take?
travel/visa|Can I change in {city} without a transit visa?
travel/visa|The embassy wants proof of my booking to {city}.
travel/visa|Is an identity card enough at the border or must it be a passport?
travel/visa|My visa has the wrong date, the {vehicle} leaves {day}.

host|web-{nn}
host|db-{n}
host|cache-{n}
host|queue-{nn}
host|edge-{nnn}
daemon|nginx
daemon|postgres
daemon|backup
daemon|indexer
daemon|mailer
daemon|scheduler
mount|/var/log
mount|/srv/data
mount|/tmp
mount|/home
account|root
account|deploy
account|admin
account|guest
account|svc-{nn}
address|10.{n}.{nn}.{nnn}
address|192.0.2.{nnn}
address|198.51.100.{nn}
site|shop.example
site|api.example
site|mail.example
site|intern.example
servers/disk|{host} {daemon}: write to {mount} failed: no space left on device
servers/disk|{host} monitor: {mount} is {nn} percent full, threshold 90
servers/disk|{host} kernel: I/O error on sd{n}, sector {nnn}{nnn}
servers/disk|{host} {daemon}: cannot rotate log, disk quota exceeded in {mount}
servers/disk|{host} smartd: {n} reallocated sectors, drive is failing
servers/disk|{host} monitor: inodes of {mount} used up
servers/disk|{host} {daemon}: remounted {mount} read-only after a file system error
servers/disk|{host} backup: volume full after {nnn} GB, archive is incomplete
servers/memory|{host} kernel: out of memory, killed process {nn}{nnn} ({daemon})
servers/memory|{host} {daemon}: allocation of {nnn} MB failed
servers/memory|{host} monitor: swap in use {nn} percent, free memory {nn} MB
servers/memory|{host} {daemon}: heap grew to {nnn} MB, restarting worker {n}
servers/memory|{host} kernel: cgroup limit reached, oom-killer invoked for {daemon}
servers/memory|{host} monitor: resident size of {daemon} doubled in {nn} minutes, leak suspected
servers/memory|{host} {daemon}: cannot fork: not enough memory
servers/memory|{host} {daemon}: cache evicted {nnn} entries under memory pressure
servers/timeout|{host} {daemon}: upstream {address} timed out after {nn} s
servers/timeout|{host} {daemon}: no answer from {address} within {nnn} ms, retry {n}
servers/timeout|{host} monitor: health check of {daemon} exceeded its deadline
servers/timeout|{host} {daemon}: query cancelled, it ran longer than {nn} seconds
servers/timeout|{host} {daemon}: connection to {address} lost: read deadline passed
servers/timeout|{host} {daemon}: gateway took {nn} s, giving up on request {nnn}{nnn}
servers/timeout|{host} {daemon}: slow response from {site}: {nnn}{n} ms
servers/timeout|{host} {daemon}: lock wait of {nn} s expired
servers/login_refused|{host} sshd: failed password for {account} from {address} port {nn}{nnn}
servers/login_refused|{host} sshd: invalid user {account} from {address}
servers/login_refused|{host} {daemon}: authentication failed for user {account}
servers/login_refused|{host} sudo: {account}: {n} incorrect password attempts
servers/login_refused|{host} {daemon}: token of {account} rejected, signature does not match
servers/login_refused|{host} sshd: too many attempts by {account}, disconnecting {address}
servers/login_refused|{host} fail2ban: banned {address} after {n} refused logins
servers/login_refused|{host} {daemon}: permission denied for role {account}
servers/certificate|{host} {daemon}: certificate of {site} expires in {n} days
servers/certificate|{host} {daemon}: TLS handshake with {address} failed: unknown authority
servers/certificate|{host} certbot: renewal for {site} failed, challenge not reachable
servers/certificate|{host} {daemon}: certificate name does not match {site}
servers/certificate|{host} {daemon}: peer {address} offered an expired certificate
servers/certificate|{host} {daemon}: private key of {site} does not fit the chain
servers/certificate|{host} monitor: {site} serves a self-signed certificate
servers/certificate|{host} {daemon}: OCSP status of {site} is revoked
END
