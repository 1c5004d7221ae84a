-- What a reviewer asks of a ledger, as views over the tables of a snapshot (snapshot.sql). None of them decides
-- anything. seq is the only order; times are what some clock said. "Spent" is an epsilon by the population's own rule of
-- admission; it counts everything that was not voided, so reserved, failed and unfinished runs too.

-- Building blocks -----------------------------------------------------------------------------------------------------

CREATE VIEW said AS
SELECT seq, time, kind, population, release, owner, reservation, mechanism,
       CASE WHEN json_valid(body) THEN json_extract(body, '$.payload') END AS payload
FROM entries;
COMMENT ON VIEW said IS 'The journal with each entry''s payload as JSON: for questions that no other view answers.';

CREATE VIEW registrations AS
SELECT population, seq, time, owner,
       payload->>'unit' AS unit,
       payload->>'unit_by' AS unit_by,
       json_exists(payload, '$.unit_by') AS states_unit_by,
       payload->>'neighbouring_relation' AS neighbouring_relation,
       TRY_CAST(payload->>'delta' AS DOUBLE) AS delta,
       payload->>'rule' AS rule,
       TRY_CAST(payload->>'planned_order' AS DOUBLE) AS planned_order,
       payload->>'blocks_by' AS blocks_by,
       TRY_CAST(payload->>'plan_epsilon' AS DOUBLE) AS plan_epsilon,
       json_array_length(payload, '$.plan') AS places,
       payload->'planned' AS planned,
       payload->'plan' AS plan
FROM said WHERE kind = 'registered';
COMMENT ON VIEW registrations IS 'How each population was registered. Nothing of this ever changes; only its cap does (cap_history).';

CREATE VIEW charged_blocks AS
SELECT DISTINCT coalesce(e.reservation, e.seq) AS charge, s.block, s.population
FROM standings s JOIN entries e USING (seq)
WHERE e.kind IN ('reserved', 'external_charge');
COMMENT ON VIEW charged_blocks IS 'Which blocks each charge touches, in every population that holds the same records. charge is a reservation''s number, or the entry of an external charge.';

-- Budgets -------------------------------------------------------------------------------------------------------------

CREATE VIEW cap_history AS
WITH caps AS (
    SELECT *, TRY_CAST(payload->>'epsilon' AS DOUBLE) AS epsilon,
           lag(TRY_CAST(payload->>'epsilon' AS DOUBLE)) OVER (PARTITION BY population ORDER BY seq) AS epsilon_before
    FROM said WHERE kind IN ('registered', 'cap_changed')
)
SELECT c.population, c.seq, c.time,
       CASE WHEN c.kind = 'registered' THEN 'registered'
            WHEN c.epsilon > c.epsilon_before THEN 'raised'
            WHEN c.epsilon < c.epsilon_before THEN 'lowered' ELSE 'unchanged' END AS change,
       c.epsilon_before, c.epsilon,
       asked.owner AS asked_by, c.owner AS decided_by, c.payload->>'reason' AS reason
FROM caps c LEFT JOIN said asked ON asked.kind = 'proposed' AND asked.seq = TRY_CAST(c.payload->>'proposal' AS BIGINT)
ORDER BY c.seq;
COMMENT ON VIEW cap_history IS 'Every cap a population ever had: who asked for it, who decided, and why. Lowering needs nobody else.';

-- A closed plan counts in full from its first release on: its epsilon covers all of it, and it admits nothing else. Once
-- something from outside it was charged it holds no longer, so all of its budget is gone.
CREATE VIEW blocks AS
WITH read AS (
    SELECT b.*, r.rule, r.delta, r.plan_epsilon, r.places, coalesce(r.rule = 'closed_plan', false) AS by_plan
    FROM balances b LEFT JOIN registrations r USING (population)
), counted AS (
    SELECT *,
           CASE WHEN NOT by_plan THEN renyi_spent WHEN NOT closed THEN 'inf'::DOUBLE
                WHEN charges > 0 THEN plan_epsilon ELSE 0 END AS spent,
           CASE WHEN NOT by_plan THEN renyi_settled WHEN NOT closed THEN 'inf'::DOUBLE
                WHEN renyi_settled > 0 THEN plan_epsilon ELSE 0 END AS settled
    FROM read
)
SELECT block, population, rule, cap, delta, spent,
       CASE WHEN isfinite(spent) THEN greatest(0, spent - settled) ELSE 0 END AS reserved,
       CASE WHEN rule <> 'closed_plan' THEN greatest(0, cap - spent) END AS remaining,
       CASE WHEN rule = 'closed_plan' THEN places END AS places,
       CASE WHEN rule = 'closed_plan' THEN CASE WHEN closed THEN places - places_used ELSE 0 END END AS places_left,
       charges, renyi_spent,
       spent > cap OR cap IS NULL OR (rule = 'closed_plan' AND plan_epsilon > cap) AS frozen
FROM counted;
COMMENT ON VIEW blocks IS 'What stands charged to each block. spent includes reserved, which voiding every merely reserved charge would give back; remaining is empty for a closed plan, which has places left instead; spent is infinite where something from outside a closed plan was charged. frozen: nothing more is admitted until the cap is raised. renyi_spent is the filter''s figure, which decides unless the rule is closed_plan.';

CREATE VIEW populations AS
WITH now AS (
    SELECT population, arg_max(epsilon, seq) AS cap, max(epsilon) AS highest_cap FROM cap_history GROUP BY population
),
     worst AS (
    SELECT population, count(*) AS blocks, max(spent) AS spent, max(reserved) AS reserved, min(remaining) AS remaining,
           min(places_left) AS places_left, bool_or(frozen) AS frozen
    FROM blocks GROUP BY population
), charged AS (
    SELECT c.population, count(DISTINCT c.charge) AS charges
    FROM charged_blocks c
    WHERE NOT EXISTS (FROM entries v WHERE v.kind = 'voided' AND v.reservation = c.charge)
    GROUP BY c.population
)
SELECT r.population, r.unit, r.unit_by, r.neighbouring_relation, r.rule, now.cap, now.highest_cap, r.delta,
       coalesce(w.spent, 0) AS spent, coalesce(w.reserved, 0) AS reserved,
       CASE WHEN r.rule <> 'closed_plan' THEN coalesce(w.remaining, now.cap) END AS remaining,
       CASE WHEN r.rule = 'closed_plan' THEN r.places END AS places,
       CASE WHEN r.rule = 'closed_plan' THEN coalesce(w.places_left, r.places) END AS places_left,
       r.plan_epsilon, coalesce(w.blocks, 0) AS blocks, r.blocks_by, coalesce(c.charges, 0) AS charges,
       coalesce(w.frozen, false) AS frozen, r.planned_order, r.seq AS registered_by_entry
FROM registrations r LEFT JOIN now USING (population) LEFT JOIN worst w USING (population)
     LEFT JOIN charged c USING (population);
COMMENT ON VIEW populations IS 'Whom the guarantee protects (one unit, told from others by unit_by; where that is empty, each record is one), and the budget: everything ever released is together (highest_cap, delta)-differentially private, unless more was spent elsewhere. spent, reserved and remaining are those of the worst block, since each unit lies in one block only; frozen says that some block is.';

CREATE VIEW burn_down AS
SELECT s.seq, e.time, s.population, s.block, e.kind, e.release, e.mechanism, e.owner, s.charges, s.places_used,
       CASE WHEN r.rule <> 'closed_plan' THEN s.renyi_spent WHEN NOT s.closed THEN 'inf'::DOUBLE
            WHEN s.charges > 0 THEN r.plan_epsilon ELSE 0 END AS spent,
       s.cap, s.renyi_spent
FROM standings s JOIN entries e USING (seq) LEFT JOIN registrations r ON r.population = s.population
ORDER BY s.seq, s.block;
COMMENT ON VIEW burn_down IS 'After each entry that changed a block: what was spent of it in all, and the cap of then.';

CREATE VIEW data_sets AS
SELECT seq, time, population, payload->>'key' AS data_set, payload->'blocks' AS blocks, payload->'overlaps' AS also_in,
       owner
FROM said WHERE kind = 'bound';
COMMENT ON VIEW data_sets IS 'Which blocks a data set is made of, and which blocks of other populations hold the same records and are charged with it (also_in). data_set is a keyed fingerprint: it tells nothing about the data.';

-- Releases ------------------------------------------------------------------------------------------------------------

CREATE VIEW charges AS
WITH life AS (
    SELECT reservation, max(seq) AS last, arg_max(kind, seq) AS last_kind, arg_max(owner, seq) AS owner,
           arg_max(time, seq) AS changed, count(*) FILTER (kind = 'redeemed') AS reads,
           count(*) FILTER (kind = 'resumed') AS resumptions
    FROM entries
    WHERE kind IN ('reserved', 'activated', 'redeemed', 'resumed', 'committed', 'forfeited', 'voided')
    GROUP BY reservation
), again AS (
    SELECT reservation, string_agg(mechanism, '; ' ORDER BY seq) AS mechanism,
           list(TRY_CAST(payload->>'epsilon_alone' AS DOUBLE) ORDER BY seq) AS epsilons,
           list(payload->'event' ORDER BY seq) AS events
    FROM said WHERE kind = 'resumed' AND mechanism IS NOT NULL GROUP BY reservation
), touched AS (
    SELECT charge, list(block ORDER BY block) AS blocks FROM charged_blocks GROUP BY charge
), refuted AS (
    SELECT reservation, list(seq ORDER BY seq) AS entries FROM entries WHERE kind = 'incident' GROUP BY reservation
)
SELECT r.reservation, r.population, r.release, coalesce(c.mechanism, r.mechanism) AS mechanism,
       TRY_CAST(coalesce(c.payload->>'epsilon_alone', r.payload->>'epsilon_alone') AS DOUBLE) AS epsilon_alone,
       CASE life.last_kind WHEN 'resumed' THEN 'activated' ELSE life.last_kind END AS state,
       life.last_kind <> 'voided' AS counts,
       life.owner, r.time AS reserved, life.changed, t.blocks, life.reads, life.resumptions,
       again.mechanism AS ran_again, coalesce(again.epsilons, []) AS epsilons_again,
       c.seq IS NOT NULL AND (c.payload->'event') IS DISTINCT FROM (r.payload->'event') AS less_than_reserved,
       coalesce(contains(r.payload->>'event', '"repeat_and_select"'), false) AS tuning,
       c.payload->>'artifact_digest' AS artifact_digest, ended.payload->>'reason' AS reason,
       r.payload->>'source' AS data_set, r.payload->>'plan_digest' AS plan_digest, r.payload->>'key' AS key,
       coalesce(c.payload->'event', r.payload->'event') AS event, coalesce(again.events, []) AS events_again,
       coalesce(refuted.entries, []) AS incidents
FROM said r JOIN life USING (reservation)
     LEFT JOIN said c ON c.kind = 'committed' AND c.reservation = r.reservation
     LEFT JOIN said ended ON ended.seq = life.last AND ended.kind IN ('forfeited', 'voided')
     LEFT JOIN again ON again.reservation = r.reservation
     LEFT JOIN touched t ON t.charge = r.reservation
     LEFT JOIN refuted ON refuted.reservation = r.reservation
WHERE r.kind = 'reserved'
ORDER BY r.seq;
COMMENT ON VIEW charges IS 'One row a reservation, as it stands now. Every state but voided counts in full. mechanism and event are what ran where it is known, else what was reserved; epsilon_alone is this release''s own; ran_again, epsilons_again and events_again are the steps that resumptions ran a second time, charged on top; tuning: the charge covers a whole sweep; incidents: the entries by which an audit refuted it.';

CREATE VIEW incidents AS
WITH carried AS (
    SELECT seq, release, unnest(from_json(json_extract(payload, '$.charges'), '["UBIGINT"]')) AS charge
    FROM said WHERE kind = 'sealed' AND json_type(payload, '$.charges') = 'ARRAY'
)
SELECT i.seq, i.time, i.population, i.release, i.reservation, i.owner, i.payload->>'reason' AS reason,
       TRY_CAST(i.payload->>'claimed_epsilon' AS DOUBLE) AS claimed_epsilon,
       TRY_CAST(i.payload->>'lower_bound' AS DOUBLE) AS lower_bound,
       TRY_CAST(i.payload->>'confidence' AS DOUBLE) AS confidence,
       TRY_CAST(i.payload->>'delta' AS DOUBLE) AS delta,
       i.payload->'files' AS files, i.payload->>'artifact_digest' AS artifact_digest,
       coalesce(list(DISTINCT c.release ORDER BY c.release) FILTER (c.seq < i.seq), []) AS sealed_before,
       coalesce(list(DISTINCT c.release ORDER BY c.release) FILTER (c.seq > i.seq), []) AS sealed_after
FROM said i LEFT JOIN carried c ON c.charge = i.reservation
WHERE i.kind = 'incident' GROUP BY ALL ORDER BY i.seq;
COMMENT ON VIEW incidents IS 'Audits that refuted what a release claims: its epsilon is at least lower_bound, with this confidence, at this delta. sealed_before names what rests on the release and left before that was known; sealed_after must be empty.';

CREATE VIEW refusals AS
SELECT s.seq, s.time, s.population, s.release, s.mechanism,
       TRY_CAST(payload->>'epsilon_alone' AS DOUBLE) AS epsilon_alone,
       TRY_CAST(payload->>'epsilon_spent' AS DOUBLE) AS spent,
       TRY_CAST(payload->>'epsilon_would_be' AS DOUBLE) AS would_be,
       c.epsilon AS cap, payload->>'block' AS block, payload->>'why' AS why, s.owner,
       s.reservation AS resumption_of
FROM said s ASOF LEFT JOIN cap_history c ON s.population = c.population AND s.seq >= c.seq
WHERE s.kind = 'refused'
ORDER BY s.seq;
COMMENT ON VIEW refusals IS 'What was asked for and not admitted: nothing was charged and nothing read. would_be against the cap of then is the reason.';

CREATE VIEW external_charges AS
SELECT s.seq, s.time, s.population, s.mechanism, TRY_CAST(payload->>'epsilon_alone' AS DOUBLE) AS epsilon_alone,
       payload->'blocks' AS blocks, s.owner, payload->>'reason' AS reason, payload->'event' AS event
FROM said s WHERE kind = 'external_charge';
COMMENT ON VIEW external_charges IS 'Spending done elsewhere and written down afterwards. It counts, and cannot be refused.';

CREATE VIEW reads AS
SELECT seq, time, population, release, owner, reservation, payload->>'source' AS data_set
FROM said WHERE kind = 'redeemed';
COMMENT ON VIEW reads IS 'Every time rows were handed out, and the charge that paid for it.';

CREATE VIEW releases_without_end AS
SELECT reservation, population, release, mechanism, state, owner, changed AS since, resumptions
FROM charges WHERE state IN ('activated', 'redeemed');
COMMENT ON VIEW releases_without_end IS 'Runs that could read or read the rows and never said how they ended: still running, or dead. They stay charged in full.';

CREATE VIEW outputs AS
SELECT c.artifact_digest, c.population, c.release, c.owner, c.changed AS committed, c.reservation,
       list(a.name ORDER BY a.name) FILTER (a.name IS NOT NULL) AS found_as
FROM charges c LEFT JOIN artifacts a ON a.digest = c.artifact_digest
WHERE c.state = 'committed' GROUP BY ALL;
COMMENT ON VIEW outputs IS 'What was released: the SHA-256 of each artifact, the run that made it, and where it was found when this snapshot was written.';

-- Decisions -----------------------------------------------------------------------------------------------------------

CREATE VIEW approvals AS
WITH effects AS (
    SELECT *, TRY_CAST(payload->>'proposal' AS BIGINT) AS proposal
    FROM said WHERE kind IN ('registered', 'cap_changed', 'terms_set', 'people_set')
)
SELECT p.seq AS proposal, p.payload->'change'->>'kind' AS change,
       coalesce(p.population, p.payload->'change'->>'population') AS population,
       p.payload->'change'->>'contract' AS contract,
       TRY_CAST(p.payload->'change'->>'epsilon' AS DOUBLE) AS epsilon,
       TRY_CAST(p.payload->'change'->>'delta' AS DOUBLE) AS delta,
       p.owner AS asked_by, p.time AS asked, p.payload->>'reason' AS asked_because,
       e.owner AS approved_by, e.time AS approved, e.payload->>'reason' AS approved_because, e.seq AS effect,
       (p.payload->>'signature') IS NOT NULL AS asked_by_key, (e.payload->>'signature') IS NOT NULL AS approved_by_key
FROM said p LEFT JOIN effects e ON e.proposal = p.seq
WHERE p.kind = 'proposed'
ORDER BY p.seq;
COMMENT ON VIEW approvals IS 'Every change that takes two people: who asked, who approved, and why. approved_by is empty where nobody has approved yet. asked_by_key and approved_by_key: whether the name stands under a signature; where not, it is unauthenticated.';

CREATE VIEW people AS
SELECT population, seq AS since_entry, payload->'people'->'owners' AS owners, payload->'people'->'approvers' AS approvers,
       payload->'people'->'keys' AS keys
FROM said
WHERE kind IN ('created', 'registered', 'people_set') AND json_type(payload, '$.people') = 'OBJECT'
QUALIFY seq = max(seq) OVER (PARTITION BY population);
COMMENT ON VIEW people IS 'Who may sign for each population, or (population empty) register one; keys by name. A population that was registered before people stood in the ledger is not here until they change: those of its first terms stand.';

CREATE VIEW contract_terms AS
SELECT payload->>'contract' AS contract, population, seq, time,
       seq = max(seq) OVER (PARTITION BY payload->>'contract') AS current,
       owner AS approved_by, (payload->>'signature') IS NOT NULL AS approved_by_key,
       payload->>'reason' AS reason, payload->>'digest' AS digest, payload->'terms' AS terms
FROM said WHERE kind = 'terms_set';
COMMENT ON VIEW contract_terms IS 'The privacy terms that a contract was approved with, oldest and current.';

CREATE VIEW restorations AS
SELECT seq, time, owner, payload->>'reason' AS reason, payload->>'head' AS rebuilt_from,
       TRY_CAST(payload->>'missing' AS BIGINT) AS entries_lost
FROM said WHERE kind = 'restored';
COMMENT ON VIEW restorations IS 'Incidents: the ledger was rebuilt from a journal. Whatever entries were lost with it may have been spending.';

-- Integrity -----------------------------------------------------------------------------------------------------------

CREATE VIEW ledger AS
SELECT (SELECT payload->>'ledger' FROM said WHERE kind = 'created' ORDER BY seq LIMIT 1) AS id,
       (SELECT payload->>'public_key' FROM said WHERE kind = 'created' ORDER BY seq LIMIT 1) AS public_key,
       (SELECT payload->>'schema' FROM said WHERE kind = 'created' ORDER BY seq LIMIT 1) AS schema_digest,
       count(*) AS entries, arg_max(seq, position) AS head_seq, arg_max(hash, position) AS head_hash,
       arg_max(time, position) AS head_time
FROM entries;
COMMENT ON VIEW ledger IS 'Which ledger this is, the key that signs its checkpoints, and where the journal ends.';

CREATE VIEW chain_breaks AS
WITH linked AS (
    SELECT *, lag(hash, 1, repeat('0', 64)) OVER (ORDER BY position) AS before FROM entries
), judged AS (
    SELECT position, seq, kind,
           CASE WHEN sha256(body) <> hash THEN 'its text does not match its hash'
                WHEN NOT json_valid(body) THEN 'it is not JSON'
                WHEN seq IS DISTINCT FROM position THEN 'its number is not its place: entries are missing or moved'
                WHEN previous IS DISTINCT FROM before THEN 'it does not follow from the entry before it'
                WHEN (kind = 'created') IS DISTINCT FROM (position = 1) THEN 'a journal begins with its one creation'
           END AS problem
    FROM linked
)
FROM judged WHERE problem IS NOT NULL;
COMMENT ON VIEW chain_breaks IS 'MUST BE EMPTY. Entries that were changed, moved or left out after they were written.';

CREATE VIEW commits_without_rows AS
WITH steps AS (
    SELECT *, lag(kind) OVER (PARTITION BY reservation ORDER BY seq) AS before
    FROM entries WHERE reservation IS NOT NULL AND kind NOT IN ('refused', 'incident')
)
SELECT seq, time, population, release, owner, reservation, before AS state_before
FROM steps WHERE kind = 'committed' AND before IS DISTINCT FROM 'redeemed';
COMMENT ON VIEW commits_without_rows IS 'MUST BE EMPTY. Releases that were finished although no rows had been handed out for them: made from rows that were read some other way.';

CREATE VIEW effects_without_second_person AS
WITH effects AS (
    SELECT *, TRY_CAST(payload->>'proposal' AS BIGINT) AS proposal
    FROM said WHERE kind IN ('registered', 'cap_changed', 'terms_set', 'people_set')
), paired AS (
    SELECT e.*, p.owner AS asked_by, p.payload->'change' AS change, p.seq IS NOT NULL AS asked,
           row_number() OVER (PARTITION BY e.proposal ORDER BY e.seq) AS use, h.change AS direction
    FROM effects e LEFT JOIN said p ON p.kind = 'proposed' AND p.seq = e.proposal AND p.seq < e.seq
         LEFT JOIN cap_history h ON h.seq = e.seq
), judged AS (
    SELECT seq, time, kind, coalesce(payload->>'contract', population, 'the ledger') AS about, owner AS decided_by, asked_by, proposal,
           CASE WHEN proposal IS NULL AND kind = 'cap_changed' AND direction = 'lowered' THEN NULL
                WHEN NOT asked THEN 'nobody had asked for it'
                WHEN owner IS NULL OR asked_by IS NULL THEN 'it does not say who asked or who decided'
                WHEN lower(trim(owner)) = lower(trim(asked_by)) THEN 'the same person asked and approved'
                WHEN use > 1 THEN 'what was asked for once took effect twice'
                WHEN NOT CASE kind
                    WHEN 'registered' THEN
                        (change->>'kind') = 'add_population' AND (change->>'population') = population
                        AND (change->>'unit') IS NOT DISTINCT FROM (payload->>'unit')
                        AND (change->>'neighbouring_relation') IS NOT DISTINCT FROM (payload->>'neighbouring_relation')
                        AND (change->>'epsilon') IS NOT DISTINCT FROM (payload->>'epsilon')
                        AND (change->>'delta') IS NOT DISTINCT FROM (payload->>'delta')
                        AND (change->>'blocks_by') IS NOT DISTINCT FROM (payload->>'blocks_by')
                        AND (change->>'unit_by') IS NOT DISTINCT FROM (payload->>'unit_by')
                        AND (change->>'people') IS NOT DISTINCT FROM (payload->>'people')
                        AND (change->>'planned') IS NOT DISTINCT FROM (payload->>'planned')
                        AND (change->>'plan') IS NOT DISTINCT FROM (payload->>'plan')
                    WHEN 'cap_changed' THEN
                        (change->>'kind') = 'raise_cap' AND (change->>'population') = population
                        AND (change->>'epsilon') IS NOT DISTINCT FROM (payload->>'epsilon')
                    WHEN 'people_set' THEN
                        (change->>'kind') = 'set_people' AND (change->>'population') IS NOT DISTINCT FROM population
                        AND (change->>'people') IS NOT DISTINCT FROM (payload->>'people')
                    ELSE
                        (change->>'kind') = 'set_terms' AND (change->>'contract') = (payload->>'contract')
                        AND (change->>'terms') IS NOT DISTINCT FROM (payload->>'terms')
                    END IS TRUE THEN 'it is not what was asked for'
           END AS problem
    FROM paired
)
FROM judged WHERE problem IS NOT NULL;
COMMENT ON VIEW effects_without_second_person IS 'MUST BE EMPTY. Populations, raised caps, people and contract terms that one person alone brought about, or that differ from what was asked for.';

CREATE VIEW artifacts_without_receipts AS
WITH judged AS (
    SELECT a.*,
           CASE WHEN a.seq IS NULL THEN 'it carries no receipt'
                WHEN a.ledger IS DISTINCT FROM l.id THEN 'its receipt is from another ledger'
                WHEN a.seq > l.head_seq THEN 'its receipt is newer than this journal: the ledger was rolled back'
                WHEN a.hash IS DISTINCT FROM e.hash THEN 'its receipt disagrees with the journal: the chain was made anew'
                WHEN a.digest IS NOT NULL AND NOT EXISTS (FROM charges c WHERE c.artifact_digest = a.digest)
                THEN 'no charge committed it'
           END AS problem
    FROM artifacts a CROSS JOIN ledger l LEFT JOIN entries e ON e.position = a.seq
)
FROM judged WHERE problem IS NOT NULL;
COMMENT ON VIEW artifacts_without_receipts IS 'MUST BE EMPTY. Artifacts that this journal does not account for. Empty as well where no artifacts were shown to the snapshot: see health.';

CREATE VIEW health AS
SELECT 'chain_breaks' AS view, 'the chain of hashes holds' AS means, (SELECT count(*) FROM chain_breaks) AS found,
       (SELECT count(*) FROM entries) AS examined
UNION ALL SELECT 'artifacts_without_receipts', 'every artifact that was found has its receipt in this journal',
       (SELECT count(*) FROM artifacts_without_receipts), (SELECT count(*) FROM artifacts)
UNION ALL SELECT 'commits_without_rows', 'every finished release had its rows handed out by the ledger',
       (SELECT count(*) FROM commits_without_rows), (SELECT count(*) FROM entries WHERE kind = 'committed')
UNION ALL SELECT 'effects_without_second_person', 'two people stand behind every budget, raised cap and contract',
       (SELECT count(*) FROM effects_without_second_person),
       (SELECT count(*) FROM entries WHERE kind IN ('registered', 'cap_changed', 'terms_set', 'people_set'));
COMMENT ON VIEW health IS 'The views that must be empty: how many rows each has, and of how many entries or artifacts. Examined 0: there was nothing to look at.';
