CREATE TABLE customers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    email text NOT NULL,
    address text NOT NULL,
    iban text NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX customers_name ON customers (name, id);

CREATE TABLE invoices (
    id uuid PRIMARY KEY,
    number integer UNIQUE,
    state text NOT NULL CHECK (state IN ('draft', 'sent', 'paid', 'void')),
    customer_id uuid NOT NULL REFERENCES customers (id),
    issued_on date NOT NULL,
    due_on date NOT NULL,
    currency text NOT NULL,
    note text NOT NULL,
    total numeric(14, 2) NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    CHECK ((number IS NULL) = (state = 'draft'))
);
CREATE INDEX invoices_customer_id ON invoices (customer_id);
CREATE INDEX invoices_issued_on ON invoices (issued_on, id);
CREATE INDEX invoices_created_at ON invoices (created_at, id);

CREATE TABLE invoice_lines (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    position integer NOT NULL,
    text text NOT NULL,
    quantity numeric(12, 3) NOT NULL,
    unit_price numeric(14, 2) NOT NULL
);
CREATE INDEX invoice_lines_position ON invoice_lines (invoice_id, position, id);

CREATE TABLE payments (
    id uuid PRIMARY KEY,
    invoice_id uuid NOT NULL REFERENCES invoices (id),
    amount numeric(14, 2) NOT NULL,
    paid_on date NOT NULL,
    note text NOT NULL,
    created_by uuid NOT NULL
);
CREATE INDEX payments_paid_on ON payments (invoice_id, paid_on, id);

-- The last number that an invoice has, in one row that is locked until the invoice that takes the
-- next one is sent: so that none is left out, and none given twice.
CREATE TABLE invoice_numbers (
    id integer PRIMARY KEY CHECK (id = 1),
    latest integer NOT NULL
);
