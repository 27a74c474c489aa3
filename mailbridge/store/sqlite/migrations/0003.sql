-- Whether a newer code of its sender came while a delivery was in flight or blocked is written down, and no longer looked for.
ALTER TABLE delivery ADD COLUMN is_overtaken INTEGER NOT NULL DEFAULT 0 CHECK (is_overtaken IN (0, 1));
UPDATE delivery SET is_overtaken = 1 WHERE state IN ('pending', 'in_flight') AND sender != '' AND EXISTS (
    SELECT 1 FROM delivery AS newer WHERE newer.state = 'pending' AND newer.target = delivery.target AND newer.line = delivery.line
        AND newer.sender = delivery.sender AND newer.kind != 'body' AND newer.id > delivery.id
        AND newer.workflow_run_id IS delivery.workflow_run_id AND newer.workflow_id IS delivery.workflow_id
        AND newer.task_id IS delivery.task_id);
-- The newest of one sender is found without a look at all the others, also where it is over.
CREATE INDEX delivery_origin ON delivery (line, sender, received_at);
