import { createElement } from 'lwc';
import DripBrake from 'c/dripBrake';
import LightningConfirm from 'lightning/confirm';
import { graphql } from 'lightning/graphql';
import { getObjectInfo } from 'lightning/uiObjectInfoApi';
import { updateRecord } from 'lightning/uiRecordApi';

const CONTROL = 'a0U000000000001AAA';

function answer(values) {
    const node = { Id: CONTROL, brake: { value: false }, state: { value: 'Running.' }, heartbeat: { value: null }, ...values };
    return { uiapi: { query: { Drip_Control__c: { edges: values ? [{ node }] : [] } } } };
}

async function settled() {
    for (let turn = 0; turn < 5; turn += 1) {
        await Promise.resolve();
    }
}

async function show(values, updateable = true) {
    const brake = createElement('c-drip-brake', { is: DripBrake });
    document.body.appendChild(brake);
    graphql.emit(answer(values), undefined, refresh);
    getObjectInfo.emit({ fields: { Drip_Brake__c: { updateable } } });
    await settled();
    return brake.shadowRoot;
}

const refresh = jest.fn().mockResolvedValue();
const find = (root, id) => root.querySelector(`[data-id="${id}"]`);

async function press(root, id) {
    find(root, id).click();
    await settled();
}

beforeEach(() => {
    LightningConfirm.open = jest.fn().mockResolvedValue(true);
});

afterEach(() => {
    document.body.replaceChildren();
    jest.clearAllMocks();
});

it('pulls the brake after asking, and reads it again', async () => {
    const root = await show({});
    expect(find(root, 'toggle').label).toBe('Pull the Emergency Brake');
    await press(root, 'toggle');
    expect(updateRecord).toHaveBeenCalledWith({ fields: { Id: CONTROL, Drip_Brake__c: true } });
    expect(refresh).toHaveBeenCalledTimes(1);
    expect(root.querySelector('[role="status"]').textContent).toContain('The brake is pulled.');
});

it('leaves the brake alone where the question is answered no', async () => {
    LightningConfirm.open.mockResolvedValue(false);
    const root = await show({});
    await press(root, 'toggle');
    expect(updateRecord).not.toHaveBeenCalled();
});

it('releases a brake that is pulled', async () => {
    const root = await show({ brake: { value: true } });
    expect(find(root, 'toggle').label).toBe('Release the Brake');
    await press(root, 'toggle');
    expect(updateRecord).toHaveBeenCalledWith({ fields: { Id: CONTROL, Drip_Brake__c: false } });
});

it('tells a brake that the daemon confirmed from one it has not seen', async () => {
    const unseen = await show({ brake: { value: true } });
    expect(find(unseen, 'confirmation').textContent).toContain('Not confirmed by crmdrip yet.');
    document.body.replaceChildren();
    const seen = await show({
        brake: { value: true },
        state: { value: 'The emergency brake is pulled by Ada: no email goes out.' }
    });
    expect(find(seen, 'confirmation').textContent).toBe(
        'Confirmed by crmdrip: The emergency brake is pulled by Ada: no email goes out.'
    );
});

it('does not call a release confirmed while the daemon still tells of the brake', async () => {
    const root = await show({ state: { value: 'The emergency brake is pulled: no email goes out.' } });
    expect(find(root, 'headline').textContent).toBe('The emergency brake is released');
    expect(find(root, 'confirmation').textContent).toContain('Not confirmed by crmdrip yet.');
});

it('offers no button to people who may not edit the brake', async () => {
    const root = await show({}, false);
    expect(find(root, 'toggle')).toBeNull();
    expect(find(root, 'headline')).not.toBeNull();
});

it('says where the control record comes from while there is none', async () => {
    const root = await show(null);
    expect(find(root, 'missing').textContent).toContain('crmdrip makes it when it first starts.');
});

it('shows why the brake could not be pulled', async () => {
    updateRecord.mockRejectedValueOnce({ body: { message: 'insufficient access rights' } });
    const root = await show({});
    await press(root, 'toggle');
    expect(find(root, 'problem').textContent).toBe('insufficient access rights.');
});

it.each([
    ['released', {}],
    ['pulled', { brake: { value: true }, heartbeat: { value: '2026-11-24T12:00:00.000Z' } }],
    ['not there', null]
])('is accessible by the vendor\'s rules while it is %s', async (_, values) => {
    const root = await show(values);
    await expect(root.host).toBeAccessible();
});
