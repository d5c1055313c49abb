import { createElement } from 'lwc';
import DripPanel from 'c/dripPanel';
import LightningConfirm from 'lightning/confirm';
import { graphql } from 'lightning/graphql';
import { getRecord, notifyRecordUpdateAvailable, updateRecord } from 'lightning/uiRecordApi';

const CONTACT = '003000000000001AAA';
const SEQUENCE = 'a0S000000000001AAA';
const TOMORROW = new Date(Date.now() + 86_400_000).toISOString();
const YESTERDAY = new Date(Date.now() - 86_400_000).toISOString();

function record(values = {}) {
    const all = {
        Drip_Approved__c: false,
        Drip_Enrolled__c: false,
        Drip_Last_Touch__c: null,
        Drip_Next_Touch__c: null,
        Drip_Out_Of_Office_Until__c: null,
        Drip_Paused_Until__c: null,
        Drip_Reason__c: null,
        Drip_Replied_At__c: null,
        Drip_Sequence__c: null,
        Drip_Sequence__r: null,
        Drip_Status__c: null,
        Drip_Step__c: null,
        HasOptedOutOfEmail: false,
        ...values
    };
    const fields = Object.fromEntries(Object.entries(all).map(([name, value]) => [name, { value }]));
    return { apiName: 'Contact', id: CONTACT, fields };
}

const RUNNING = {
    Drip_Enrolled__c: true,
    Drip_Status__c: 'Active',
    Drip_Reason__c: 'Step 2 of 4 is due Tue 24 Nov 09:00 CET.',
    Drip_Step__c: '1 of 4',
    Drip_Next_Touch__c: TOMORROW,
    Drip_Sequence__c: SEQUENCE,
    Drip_Sequence__r: { fields: { Name: { value: 'Welcome' } } }
};

function thread(...nodes) {
    const edges = nodes.map((values, number) => ({
        node: {
            Id: `00T00000000000${number}AAA`,
            Subject: { value: '[Drip] [Email] [Out] Hello' },
            CreatedDate: { value: YESTERDAY },
            IsClosed: { value: true },
            sequence: { value: 'Welcome' },
            step: { value: '1 of 4' },
            outcome: { value: 'Opened' },
            opens: { value: 0 },
            clicks: { value: 0 },
            ...values
        }
    }));
    return { uiapi: { query: { Task: { edges } } } };
}

async function settled() {
    for (let turn = 0; turn < 5; turn += 1) {
        await Promise.resolve();
    }
}

async function show(values, touches = thread(), objectApiName = 'Contact') {
    const panel = createElement('c-drip-panel', { is: DripPanel });
    panel.recordId = CONTACT;
    panel.objectApiName = objectApiName;
    document.body.appendChild(panel);
    if (values) {
        getRecord.emit(record(values));
    }
    graphql.emit(touches, undefined, refreshTouches);
    await settled();
    return panel.shadowRoot;
}

const refreshTouches = jest.fn().mockResolvedValue();
const find = (root, id) => root.querySelector(`[data-id="${id}"]`);
const status = (root) => root.querySelector('[role="status"]').textContent;

async function press(root, id) {
    find(root, id).click();
    await settled();
}

afterEach(() => {
    document.body.replaceChildren();
    jest.clearAllMocks();
});

describe('what is shown', () => {
    it('asks for the fields of a lead on a lead', async () => {
        await show({}, thread(), 'Lead');
        const { fields, recordId } = getRecord.getLastConfig();
        expect(recordId).toBe(CONTACT);
        expect(fields.map((one) => one.objectApiName)).toEqual(fields.map(() => 'Lead'));
    });

    it('asks for the opt-out as optional, since field-level security hides it by default', async () => {
        await show({});
        const { fields, optionalFields } = getRecord.getLastConfig();
        expect(optionalFields.map((one) => one.fieldApiName)).toEqual(['HasOptedOutOfEmail']);
        expect(fields.map((one) => one.fieldApiName)).not.toContain('HasOptedOutOfEmail');
    });

    it('tells status, reason, sequence, step and next touch', async () => {
        const root = await show(RUNNING);
        expect(find(root, 'status').textContent).toBe('Active');
        expect(find(root, 'reason').textContent).toBe(RUNNING.Drip_Reason__c);
        expect(root.querySelector('[data-fact="Sequence"]').textContent).toBe('Welcome');
        expect(root.querySelector('[data-fact="Step"]').textContent).toBe('1 of 4');
        expect(root.querySelector('[data-fact="Next touch"] lightning-formatted-date-time').value).toBe(TOMORROW);
    });

    it('shows no pause or absence that has passed', async () => {
        const root = await show({ ...RUNNING, Drip_Paused_Until__c: YESTERDAY, Drip_Out_Of_Office_Until__c: YESTERDAY });
        expect(root.querySelector('[data-fact="Paused until"]')).toBeNull();
        expect(root.querySelector('[data-fact="Out of office until"]')).toBeNull();
        expect(find(root, 'pause')).not.toBeNull();
    });

    it('lists the touches with how they fared', async () => {
        const root = await show(RUNNING, thread({ opens: { value: 2 }, clicks: { value: 1 } }));
        const [first] = root.querySelectorAll('li');
        expect(first.querySelector('lightning-button').label).toBe('[Drip] [Email] [Out] Hello');
        expect(first.querySelector('span').textContent).toBe('Welcome · step 1 of 4 · Opened · 2 opens · 1 click');
    });

    it('tells a task that is still to do from one that the rep completed', async () => {
        const task = { outcome: { value: 'To do' }, IsClosed: { value: false } };
        const root = await show(RUNNING, thread(task, { ...task, IsClosed: { value: true } }));
        expect([...root.querySelectorAll('li span')].map((one) => one.textContent)).toEqual([
            'Welcome · step 1 of 4 · To do',
            'Welcome · step 1 of 4 · Done'
        ]);
    });

    it('asks for the touches of this person', async () => {
        await show(RUNNING);
        expect(graphql.getLastConfig().variables).toEqual({ person: CONTACT });
    });

    it('says that nothing has gone out yet', async () => {
        const root = await show(RUNNING);
        expect(find(root, 'no-touches').textContent).toBe('Nothing has gone out yet.');
    });

    it('still shows the status where the thread cannot be read', async () => {
        const root = await show(RUNNING);
        graphql.emitErrors([{ message: 'No such column' }]);
        await settled();
        expect(find(root, 'status').textContent).toBe('Active');
        expect(find(root, 'touches-problem').textContent).toContain('No such column. The record');
    });

    it('names the permission set where the fields are hidden', async () => {
        const root = await show(null);
        getRecord.error({ message: 'You do not have access' });
        await settled();
        expect(find(root, 'record-problem').textContent).toContain('permission set Drip Rep');
        expect(root.querySelector('lightning-spinner')).toBeNull();
    });
});

describe('what people do', () => {
    it('enrolls in the chosen sequence with one write', async () => {
        const root = await show({});
        expect(find(root, 'enroll').disabled).toBe(true);
        root.querySelector('lightning-record-picker').dispatchEvent(
            new CustomEvent('change', { detail: { recordId: SEQUENCE } })
        );
        await settled();
        expect(find(root, 'enroll').disabled).toBe(false);
        await press(root, 'enroll');
        expect(updateRecord).toHaveBeenCalledTimes(1);
        expect(updateRecord).toHaveBeenCalledWith({
            fields: { Id: CONTACT, Drip_Sequence__c: SEQUENCE, Drip_Enrolled__c: true }
        });
        expect(status(root)).toContain('Drip Enrolled is ticked.');
    });

    it('offers live sequences alone', async () => {
        const root = await show({});
        expect(root.querySelector('lightning-record-picker').filter.criteria).toEqual([
            { fieldPath: 'Drip_Status__c', operator: 'eq', value: 'Live' }
        ]);
    });

    it('offers no enrolling to somebody who is in a sequence', async () => {
        const root = await show(RUNNING);
        expect(find(root, 'enroll')).toBeNull();
        expect(find(root, 'stop')).not.toBeNull();
    });

    it('offers no enrolling to somebody who opted out', async () => {
        const root = await show({ HasOptedOutOfEmail: true });
        expect(find(root, 'opted-out')).not.toBeNull();
        expect(find(root, 'enroll')).toBeNull();
    });

    it('pauses until a time to come', async () => {
        const root = await show(RUNNING);
        await press(root, 'pause');
        root.querySelector('lightning-input').dispatchEvent(new CustomEvent('change', { detail: { value: TOMORROW } }));
        await settled();
        await press(root, 'pause-until');
        expect(updateRecord).toHaveBeenCalledWith({ fields: { Id: CONTACT, Drip_Paused_Until__c: TOMORROW } });
        expect(find(root, 'pause-until')).toBeNull();
    });

    it('pauses until no time that has passed', async () => {
        const root = await show(RUNNING);
        await press(root, 'pause');
        root.querySelector('lightning-input').dispatchEvent(new CustomEvent('change', { detail: { value: YESTERDAY } }));
        await settled();
        await press(root, 'pause-until');
        expect(updateRecord).not.toHaveBeenCalled();
        expect(find(root, 'problem').textContent).toBe('Choose a time in the future.');
    });

    it('lifts a pause', async () => {
        const root = await show({ ...RUNNING, Drip_Status__c: 'Paused', Drip_Paused_Until__c: TOMORROW });
        expect(find(root, 'pause')).toBeNull();
        await press(root, 'resume');
        expect(updateRecord).toHaveBeenCalledWith({ fields: { Id: CONTACT, Drip_Paused_Until__c: null } });
    });

    it('approves the step that waits for it', async () => {
        const root = await show({ ...RUNNING, Drip_Status__c: 'Held', Drip_Reason__c: 'Waiting for approval: tick Approved.' });
        await press(root, 'approve');
        expect(updateRecord).toHaveBeenCalledWith({ fields: { Id: CONTACT, Drip_Approved__c: true } });
    });

    it('offers no approval where none is asked for', async () => {
        const root = await show(RUNNING);
        expect(find(root, 'approve')).toBeNull();
    });

    it('stops after asking', async () => {
        LightningConfirm.open = jest.fn().mockResolvedValue(true);
        const root = await show(RUNNING);
        await press(root, 'stop');
        expect(updateRecord).toHaveBeenCalledWith({ fields: { Id: CONTACT, Drip_Enrolled__c: false } });
    });

    it('stops nobody where the question is answered no', async () => {
        LightningConfirm.open = jest.fn().mockResolvedValue(false);
        const root = await show(RUNNING);
        await press(root, 'stop');
        expect(updateRecord).not.toHaveBeenCalled();
    });

    it('shows what a validation rule of the org says', async () => {
        updateRecord.mockRejectedValueOnce({
            body: {
                message: 'An error occurred while trying to update the record.',
                output: { errors: [{ message: 'Fill in Region first' }], fieldErrors: {} }
            }
        });
        const root = await show({ Drip_Sequence__c: SEQUENCE });
        await press(root, 'enroll');
        expect(find(root, 'problem').textContent).toBe('Fill in Region first.');
        expect(find(root, 'enroll').disabled).toBe(false);
    });

    it('reads record and thread again', async () => {
        const root = await show(RUNNING);
        root.querySelector('lightning-button-icon').click();
        await settled();
        expect(notifyRecordUpdateAvailable).toHaveBeenCalledWith([{ recordId: CONTACT }]);
        expect(refreshTouches).toHaveBeenCalledTimes(1);
        expect(status(root)).toBe('Refreshed.');
    });
});

describe('who cannot see or use a mouse', () => {
    const HELD = { Drip_Status__c: 'Held', Drip_Reason__c: 'Waiting for approval: tick Approved on this record.' };

    it.each([
        ['nothing yet', {}],
        ['a running sequence', RUNNING],
        ['a step that waits for approval', { ...RUNNING, ...HELD }],
        ['somebody who opted out', { HasOptedOutOfEmail: true }]
    ])('is served with %s, by the vendor\'s accessibility rules', async (_, values) => {
        const root = await show(values, thread({}));
        await expect(root.host).toBeAccessible();
    });

    it('is served while choosing a pause', async () => {
        const root = await show(RUNNING, thread({}));
        await press(root, 'pause');
        await expect(root.host).toBeAccessible();
    });

    it('hears of every change', async () => {
        const root = await show(RUNNING);
        expect(root.querySelector('[role="status"]').getAttribute('aria-live')).toBe('polite');
        expect(root.querySelector('[role="alert"]')).not.toBeNull();
    });

    it('finds a label on every control', async () => {
        const root = await show(RUNNING);
        await press(root, 'pause');
        for (const control of root.querySelectorAll('lightning-button, lightning-input')) {
            expect(control.label).toBeTruthy();
        }
        for (const control of root.querySelectorAll('lightning-button-icon')) {
            expect(control.alternativeText).toBeTruthy();
        }
    });
});
